# SPDX-License-Identifier: Apache-2.0
# Target check_headers: each header brings what it uses. A header that a source of this build
# includes before all else is compiled alone there already; target check_headers builds these sources'
# targets, and compiles the other headers alone. tests/lint.sh sees to it that each may be included
# again. Which headers are whose is found out when CMake configures. Not part of `all`;
# tests/run.sh --all builds it. Include this after the targets.
set(HASHEP_HEADER_GLOBS include/hashep/*.hpp core/*.hpp comm/plan/*.hpp runtime/routing/*.hpp runtime/model/*.hpp)
if(HASHEP_WITH_RUNTIME)
  list(APPEND HASHEP_HEADER_GLOBS kernels/*.hpp comm/*.hpp runtime/*.hpp launch/*.hpp benchmarks/*.hpp)
endif()
file(GLOB_RECURSE HASHEP_HEADERS CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}
     ${HASHEP_HEADER_GLOBS})
list(TRANSFORM HASHEP_HEADERS REPLACE "^include/" "")  # as sources name them

if(NOT TARGET HashEP::hashep)
  list(FILTER HASHEP_HEADERS EXCLUDE REGEX "hashep/(context|stack|hashep).hpp")  # they are not installed
endif()
if(NOT TARGET HashEP::cuda)
  list(FILTER HASHEP_HEADERS EXCLUDE REGEX "check_cuda|cublas")  # they read CUDA's own headers
endif()

# hashep_compiled_targets(DIRECTORY OUTPUT): all targets with sources, there and below.
function(hashep_compiled_targets directory output)
  get_property(targets DIRECTORY ${directory} PROPERTY BUILDSYSTEM_TARGETS)
  get_property(below DIRECTORY ${directory} PROPERTY SUBDIRECTORIES)
  foreach(folder IN LISTS below)
    hashep_compiled_targets(${folder} more)
    list(APPEND targets ${more})
  endforeach()
  set(${output} ${targets} PARENT_SCOPE)
endfunction()

# Headers that are the first thing their own source reads. A directive before it, such as a
# definition, could be what the header needs.
set(HASHEP_HEADER_TARGETS)
hashep_compiled_targets(${PROJECT_SOURCE_DIR} HASHEP_TARGETS)
foreach(target IN LISTS HASHEP_TARGETS)
  get_target_property(sources ${target} SOURCES)
  get_target_property(folder ${target} SOURCE_DIR)
  if(NOT sources)
    continue()
  endif()
  foreach(source IN LISTS sources)
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${folder})
    if(source MATCHES "\\.cpp$" AND EXISTS ${source})
      file(STRINGS ${source} directive REGEX "^[ \t]*#" LIMIT_COUNT 1)
      if(directive MATCHES "^#include \"(.*)\"$" AND CMAKE_MATCH_1 IN_LIST HASHEP_HEADERS)
        list(REMOVE_ITEM HASHEP_HEADERS ${CMAKE_MATCH_1})
        list(APPEND HASHEP_HEADER_TARGETS ${target})
      endif()
    endif()
  endforeach()
endforeach()
list(REMOVE_DUPLICATES HASHEP_HEADER_TARGETS)

set(HASHEP_HEADER_SOURCES)
foreach(HEADER IN LISTS HASHEP_HEADERS)
  set(source ${PROJECT_BINARY_DIR}/check_headers/${HEADER}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "#include \"@HEADER@\"\n" @ONLY)
  list(APPEND HASHEP_HEADER_SOURCES ${source})
endforeach()

add_library(check_headers OBJECT EXCLUDE_FROM_ALL ${HASHEP_HEADER_SOURCES})
if(HASHEP_HEADER_TARGETS)
  add_dependencies(check_headers ${HASHEP_HEADER_TARGETS})
endif()
get_property(HASHEP_LIBRARIES GLOBAL PROPERTY HASHEP_LIBRARIES)
target_link_libraries(check_headers PRIVATE ${HASHEP_LIBRARIES})
if(HASHEP_WITH_RUNTIME)
  target_link_libraries(check_headers PRIVATE MPI::MPI_CXX DNNL::dnnl OpenMP::OpenMP_CXX CLI11::CLI11)
endif()
target_include_directories(check_headers PRIVATE ${PROJECT_SOURCE_DIR})
target_compile_options(check_headers PRIVATE -O0)
hashep_set_flags(check_headers)
