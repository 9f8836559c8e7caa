# SPDX-License-Identifier: Apache-2.0
# Finds MPI::MPI_CXX, says which one it is, and stops where it is not the one that MPI_HOME names:
# CMake takes another MPI that is in PATH without a word where MPI_HOME has no compiler wrapper.
set(MPI_CXX_SKIP_MPICXX ON)  # the C interface alone: the C++ one left the standard in MPI-3
find_package(MPI REQUIRED COMPONENTS CXX)
message(STATUS "MPI: ${MPI_CXX_COMPILER}, ${MPI_CXX_LIBRARIES}")

set(hashep_mpi_home "${MPI_HOME}")
if(NOT hashep_mpi_home)
  set(hashep_mpi_home "$ENV{MPI_HOME}")
endif()
if(hashep_mpi_home)
  file(REAL_PATH "${hashep_mpi_home}" hashep_mpi_home BASE_DIRECTORY "${CMAKE_BINARY_DIR}")
  set(hashep_mpi_parts ${MPI_CXX_COMPILER} ${MPI_CXX_LIBRARIES} ${MPI_CXX_COMPILER_INCLUDE_DIRS}
                       ${MPI_CXX_HEADER_DIR})
  # A compiler that needs no wrapper, as on Cray, tells nothing of its own.
  set(hashep_mpi_is_there FALSE)
  set(hashep_mpi_known FALSE)
  foreach(part IN LISTS hashep_mpi_parts)
    if(NOT IS_ABSOLUTE "${part}" OR "${part}" STREQUAL "${CMAKE_CXX_COMPILER}")
      continue()
    endif()
    set(hashep_mpi_known TRUE)
    file(REAL_PATH "${part}" real_part)
    foreach(path IN ITEMS "${part}" "${real_part}")
      cmake_path(IS_PREFIX hashep_mpi_home "${path}" NORMALIZE is_inside)
      if(is_inside)
        set(hashep_mpi_is_there TRUE)
      endif()
    endforeach()
  endforeach()
  if(hashep_mpi_known AND NOT hashep_mpi_is_there)
    message(FATAL_ERROR
      "MPI_HOME is ${hashep_mpi_home}, but CMake found another MPI: ${MPI_CXX_COMPILER}. "
      "MPI_HOME works where MPI_HOME/bin has its mpicxx; else name the wrapper: "
      "cmake --fresh -D MPI_CXX_COMPILER=mpicxx.mpich ... (or mpicxx.openmpi), without MPI_HOME. "
      "An earlier choice stays in the build folder: --fresh forgets it.")
  endif()
endif()
