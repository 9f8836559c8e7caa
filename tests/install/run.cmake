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

# build_project(NAME WITHOUT...): a project of this folder, where these packages cannot be found.
function(build_project name)
  list(TRANSFORM ARGN REPLACE "(.+)" "-DCMAKE_DISABLE_FIND_PACKAGE_\\1=ON" OUTPUT_VARIABLE without)
  run(${CMAKE_COMMAND} --no-warn-unused-cli -S ${CMAKE_CURRENT_LIST_DIR}/${name}
      -B ${root}/${name} -G ${GENERATOR} -D CMAKE_CXX_COMPILER=${CXX_COMPILER}
      -D CMAKE_PREFIX_PATH=${root}/prefix -D HASHEP_VERSION=${VERSION} ${without})
  run(${CMAKE_COMMAND} --build ${root}/${name})
endfunction()

set(not_for_routing MPI dnnl OpenCL OpenMP LIBXSMM CLI11 Hwloc CUDAToolkit NCCL)
build_project(consumer ${not_for_routing})
run(${root}/consumer/consumer)
build_project(plan_alone ${not_for_routing} SentencePiece)
run(${root}/plan_alone/plan_alone)
build_project(headers)
