# SPDX-License-Identifier: Apache-2.0
# cmake -D BUILD_DIR=... -D GENERATOR=... -D CXX_COMPILER=... -D VERSION=... -P run.cmake
# Starts from nothing each time, so that no file of an earlier install can help.
set(root ${BUILD_DIR}/install_test)
file(REMOVE_RECURSE ${root})

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# README's own build needs nothing that only tests need.
run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/../.. -B ${root}/no_tests -G ${GENERATOR}
    -D CMAKE_CXX_COMPILER=${CXX_COMPILER} -D HASHEP_WITH_RUNTIME=OFF
    -D CMAKE_DISABLE_FIND_PACKAGE_Catch2=ON)
run(${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${root}/prefix)
file(STRINGS ${BUILD_DIR}/install_manifest.txt installed)
set(distinct ${installed})
list(REMOVE_DUPLICATES distinct)
if(NOT installed STREQUAL distinct)
  message(FATAL_ERROR "files are installed twice: see ${BUILD_DIR}/install_manifest.txt")
endif()

# build_project(SOURCE NAME WITHOUT...): a project, where these packages cannot be found.
function(build_project source name)
  list(TRANSFORM ARGN REPLACE "(.+)" "-DCMAKE_DISABLE_FIND_PACKAGE_\\1=ON" OUTPUT_VARIABLE without)
  run(${CMAKE_COMMAND} --no-warn-unused-cli -S ${source} -B ${root}/${name} -G ${GENERATOR}
      -D CMAKE_CXX_COMPILER=${CXX_COMPILER} -D CMAKE_PREFIX_PATH=${root}/prefix
      -D HASHEP_VERSION=${VERSION} ${without})
  run(${CMAKE_COMMAND} --build ${root}/${name})
endfunction()

# What no program that links the installed package needs, and what one that only plans needs less.
set(only_for_building nlohmann_json CLI11 Hwloc SentencePiece)
set(not_for_planning ${only_for_building} MPI dnnl OpenCL OpenMP LIBXSMM CUDAToolkit NCCL)
build_project(${CMAKE_CURRENT_LIST_DIR}/consumer consumer ${not_for_planning})
run(${root}/consumer/consumer)
build_project(${CMAKE_CURRENT_LIST_DIR}/headers headers ${only_for_building})

if(EXISTS ${root}/prefix/include/hashep/context.hpp)
  build_project(${CMAKE_CURRENT_LIST_DIR}/../../examples examples ${only_for_building})
  run(${root}/examples/plan_512_ranks)
  foreach(example forward decode own_router train)
    foreach(ranks 1 2 3)
      run(${CMAKE_CURRENT_LIST_DIR}/../support/mpirun.sh ${ranks} ${root}/examples/${example})
    endforeach()
  endforeach()
endif()
