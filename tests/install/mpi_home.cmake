# SPDX-License-Identifier: Apache-2.0
# cmake -D WORK_DIR=... -D GENERATOR=... -D CXX_COMPILER=... -D MPI_COMPILER=... -P mpi_home.cmake
# An MPI_HOME that has no MPI stops CMake, as an option and from the environment; the MPI's own folder
# and none at all do not.
file(REMOVE_RECURSE ${WORK_DIR})
file(MAKE_DIRECTORY ${WORK_DIR}/empty)
cmake_path(GET MPI_COMPILER PARENT_PATH bin)
cmake_path(GET bin PARENT_PATH home)

# configure(GOOD HOME ARGS...): with MPI_HOME=HOME in the environment.
function(configure good home)
  set(ENV{MPI_HOME} "${home}")
  execute_process(
    COMMAND ${CMAKE_COMMAND} --fresh -S ${CMAKE_CURRENT_LIST_DIR}/mpi_home -B ${WORK_DIR}/build
            -G ${GENERATOR} -D CMAKE_CXX_COMPILER=${CXX_COMPILER} ${ARGN}
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  string(REGEX REPLACE "[ \n]+" " " output "${output}")
  if(good AND NOT result EQUAL 0)
    message(FATAL_ERROR "MPI_HOME=${home} ${ARGN}: refused: ${output}")
  elseif(NOT good AND NOT output MATCHES "MPI_HOME is [^ ]*empty, but CMake found another MPI")
    message(FATAL_ERROR "MPI_HOME=${home} ${ARGN}: not refused: ${output}")
  endif()
endfunction()

configure(TRUE "")
configure(TRUE "" -D MPI_HOME=${home})
configure(TRUE ${home})
configure(FALSE "" -D MPI_HOME=${WORK_DIR}/empty)
configure(FALSE ${WORK_DIR}/empty)
