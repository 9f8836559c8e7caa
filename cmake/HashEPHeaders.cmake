# SPDX-License-Identifier: Apache-2.0
# Target check_headers: compiles each header alone, twice over, so that each brings what it uses
# and may be included again. Not part of `all`; tests/run.sh --all builds it.
set(HASHEP_HEADER_GLOBS core/*.hpp comm/plan/*.hpp runtime/routing/*.hpp runtime/model/*.hpp)
if(HASHEP_WITH_RUNTIME)
  list(APPEND HASHEP_HEADER_GLOBS kernels/*.hpp comm/*.hpp runtime/*.hpp launch/*.hpp benchmarks/*.hpp)
endif()
file(GLOB_RECURSE HASHEP_HEADERS CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}
     ${HASHEP_HEADER_GLOBS})

if(NOT TARGET HashEP::cuda)
  list(FILTER HASHEP_HEADERS EXCLUDE REGEX "check_cuda|cublas")  # they read CUDA's own headers
endif()

set(HASHEP_HEADER_SOURCES)
foreach(HEADER IN LISTS HASHEP_HEADERS)
  set(source ${PROJECT_BINARY_DIR}/check_headers/${HEADER}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "#include \"@HEADER@\"\n#include \"@HEADER@\"\n" @ONLY)
  list(APPEND HASHEP_HEADER_SOURCES ${source})
endforeach()

add_library(check_headers OBJECT EXCLUDE_FROM_ALL ${HASHEP_HEADER_SOURCES})
get_property(HASHEP_LIBRARIES GLOBAL PROPERTY HASHEP_LIBRARIES)
target_link_libraries(check_headers PRIVATE ${HASHEP_LIBRARIES})
if(HASHEP_WITH_RUNTIME)
  target_link_libraries(check_headers PRIVATE MPI::MPI_CXX DNNL::dnnl OpenMP::OpenMP_CXX CLI11::CLI11)
endif()
target_include_directories(check_headers PRIVATE ${PROJECT_SOURCE_DIR})
target_compile_options(check_headers PRIVATE -O0)
hashep_set_flags(check_headers)
