# SPDX-License-Identifier: Apache-2.0
# cmake -D BUILD_DIR=... -D GENERATOR=... -D CXX_COMPILER=... -D VERSION=... -P run.cmake
# Starts from nothing each time, so that no file of an earlier install can help.
set(root ${BUILD_DIR}/install_test)
file(REMOVE_RECURSE ${root})

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${root}/prefix)
file(STRINGS ${BUILD_DIR}/install_manifest.txt installed)
set(distinct ${installed})
list(REMOVE_DUPLICATES distinct)
if(NOT installed STREQUAL distinct)
  message(FATAL_ERROR "files are installed twice: see ${BUILD_DIR}/install_manifest.txt")
endif()
run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/consumer -B ${root}/build -G ${GENERATOR}
    -D CMAKE_CXX_COMPILER=${CXX_COMPILER} -D CMAKE_PREFIX_PATH=${root}/prefix
    -D HASHEP_VERSION=${VERSION})
run(${CMAKE_COMMAND} --build ${root}/build)
run(${root}/build/consumer)
