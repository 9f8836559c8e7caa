# SPDX-License-Identifier: Apache-2.0
# hashep_add_library(NAME SOURCES ... [DEPENDS ...] [PRIVATE_DEPENDS ...]): one layer of the project as a
# library with the alias HashEP::NAME.
# hashep_set_flags(TARGET): language level, warnings and sanitizers, the same for every target.

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Functions for several vector widths: GCC's target_clones.
set(HASHEP_EACH_VECTOR_WIDTH "")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(HASHEP_EACH_VECTOR_WIDTH "__attribute__((target_clones(\"default\",\"avx2\",\"avx512f\")))")
endif()

# Flags of the host's compiler: not nvcc's (see hashep_set_cuda_flags).
function(hashep_cxx_options target)
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${ARGN}>")
endfunction()

function(hashep_set_flags target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  hashep_cxx_options(${target} -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                     -Wno-sign-conversion)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # GCC 12 sees overlaps where "literal" + std::string has none (GCC bug 105651).
    hashep_cxx_options(${target} -Wno-restrict)
  endif()
  if(HASHEP_WARNINGS_AS_ERRORS)
    hashep_cxx_options(${target} -Werror)
  endif()
  if(HASHEP_SANITIZE OR HASHEP_SANITIZE_THREADS OR CMAKE_BUILD_TYPE STREQUAL "Debug")
    hashep_cxx_options(${target} -D_GLIBCXX_ASSERTIONS)  # the standard library checks indices
  endif()
  if(HASHEP_SANITIZE)
    # -Og -g1: stack traces with lines, and half the compile time of -O1, for as little optimised away.
    # Without three checks at each use of a pointer, an eighth of the compile time. AddressSanitizer
    # sees most of what they would: an access through a null pointer, or beyond an object.
    hashep_cxx_options(${target} -Og -g1 -fsanitize=address,undefined
                       -fno-sanitize=null,object-size,vptr
                       -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=address,undefined)
  endif()
  if(HASHEP_SANITIZE_THREADS)
    hashep_cxx_options(${target} -O1 -g1 -fsanitize=thread -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=thread)
  endif()
  if(HASHEP_COVERAGE)
    # Counters that threads share; -Og, as without it tests of deadlines are too slow.
    hashep_cxx_options(${target} -Og -g0 --coverage -fprofile-update=atomic)
    target_link_options(${target} PRIVATE --coverage)
  endif()
  if(HASHEP_FUZZ)
    hashep_cxx_options(${target} -fsanitize=fuzzer-no-link)
  endif()
endfunction()

function(hashep_add_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  add_library(hashep_${name} STATIC ${ARG_SOURCES})
  add_library(HashEP::${name} ALIAS hashep_${name})
  set_target_properties(hashep_${name} PROPERTIES EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON)
  target_include_directories(
    hashep_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
                          $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                          $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(hashep_${name} PUBLIC ${ARG_DEPENDS} PRIVATE ${ARG_PRIVATE_DEPENDS})
  hashep_set_flags(hashep_${name})
  set_property(GLOBAL APPEND PROPERTY HASHEP_LIBRARIES hashep_${name})
endfunction()
