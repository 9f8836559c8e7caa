# SPDX-License-Identifier: Apache-2.0
# hashep_add_test(NAME SOURCES ... [DEPENDS ...]): a Catch2 program with its own main.
# hashep_add_mpi_test(NAME RANKS 1 2 3 ... SOURCES ... [DEPENDS ...]): the same under mpirun, run
# once for each number of ranks; it fails where one rank fails.
# hashep_add_gpu_test(NAME SOURCES ... [DEPENDS ...]): a Catch2 program on a GPU; skipped, in words,
# where there is none. Target gpu_tests builds them all. Tag cases [small] that compute-sanitizer is
# to run.
# hashep_add_cluster_test(NAME SLOTS 2,2 1,1,1 ...): runs an MPI test's program on virtual clusters
# with so many ranks on each host; skipped where hosts cannot be made.
# hashep_set_long_tests(NAME SECONDS ...): what takes long begins first, so that no core is left with
# nothing to do while the last test runs. Roughly; no limit.
#
# hashep_set_waiting_tests(NAME ...): tests that mostly sleep, beside which others run.
# hashep_set_word_tests(NAME ...): label `words`, for what scripts and programs print, start or figure
# out: sanitizers see nothing there that they do not see in other tests, and continuous integration
# leaves it to cpu-release.
# hashep_set_thread_tests(NAME ...): label `threads`, for tests whose ranks are threads of one process, or
# that have threads share work; target thread_tests builds them. The preset cpu-tsan is for them: not for
# tests under mpirun, where ThreadSanitizer takes MPI's own locks, which it sees in part, for races.
#
# PROCESSORS is in halves of a core: tests/run.sh has ctest run twice as many as there are cores. A
# program's test, one half, mostly waits for mpirun to begin and to end; a test that computes takes a
# core, and so does one rank; ranks take two.
#
# Of the numbers of ranks of an MPI test, sanitizers need few: label `more-ranks` is on all but 1 and the
# one that makes uneven nodes, 3, or 4 where there is no 3.

set(HASHEP_TEST_TIMEOUT 300)  # seconds: only a hang takes this long
set(HASHEP_GPU_TEST_TIMEOUT 60)  # the same on a GPU, where time is short: less than tests/gpu/run.sh gives

add_library(hashep_test_include INTERFACE)
target_include_directories(hashep_test_include INTERFACE ${PROJECT_SOURCE_DIR})

# Catch2 for a library that checks but has no main.
add_library(hashep_catch INTERFACE)
target_link_libraries(hashep_catch INTERFACE Catch2::Catch2 hashep_test_include)
if(Catch2_VERSION VERSION_GREATER_EQUAL 3)
  target_compile_definitions(hashep_catch INTERFACE HASHEP_CATCH2_V3)
endif()

add_library(hashep_catch_main STATIC ${PROJECT_SOURCE_DIR}/tests/support/catch_main.cpp)
target_link_libraries(hashep_catch_main PUBLIC hashep_catch)
hashep_set_flags(hashep_catch_main)
# Catch's main alone is a minute of compiling when optimised, and GCC 12 with sanitizers then warns
# of libstdc++'s <regex> in it.
target_compile_options(hashep_catch_main PRIVATE -O0)

# hashep_set_test_flags(TARGET): what is tested is optimised as ever, its tests less, for their compile
# time; with sanitizers not at all, so that there is a build that is not, in which everything in headers
# has to be defined too.
function(hashep_set_test_flags target)
  hashep_set_flags(${target})
  if(HASHEP_SANITIZE)
    hashep_cxx_options(${target} -O0)
  elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
    hashep_cxx_options(${target} -O1)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # As -Wno-restrict, which beside precompiled headers has more forms.
    hashep_cxx_options(${target} -Wno-array-bounds -Wno-stringop-overflow)
  endif()
endfunction()

# hashep_add_test_program(NAME MAIN SOURCES ... [DEPENDS ...]): a Catch2 program whose main is the
# library MAIN.
function(hashep_add_test_program name main)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${main} hashep_test_support ${ARG_DEPENDS})
  hashep_set_test_flags(${name})
  target_precompile_headers(${name} REUSE_FROM hashep_test_support)
endfunction()

function(hashep_add_test name)
  hashep_add_test_program(${name} hashep_catch_main ${ARGN})
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT ${HASHEP_TEST_TIMEOUT} PROCESSORS 2)
endfunction()

function(hashep_add_mpi_test name)
  cmake_parse_arguments(ARG "" "" "RANKS;SOURCES;DEPENDS" ${ARGN})
  hashep_add_test_program(${name} hashep_mpi_main SOURCES ${ARG_SOURCES} DEPENDS ${ARG_DEPENDS})
  foreach(ranks IN LISTS ARG_RANKS)
    add_test(NAME ${name}.np${ranks}
             COMMAND ${PROJECT_SOURCE_DIR}/tests/support/mpirun.sh ${ranks} $<TARGET_FILE:${name}>)
    set(labels mpi)
    if(NOT ranks EQUAL 1 AND NOT ranks EQUAL 3 AND (3 IN_LIST ARG_RANKS OR NOT ranks EQUAL 4))
      list(APPEND labels more-ranks)
    endif()
    set(halves 4)
    if(ranks EQUAL 1)
      set(halves 2)
    endif()
    set_tests_properties(${name}.np${ranks} PROPERTIES LABELS "${labels}" TIMEOUT ${HASHEP_TEST_TIMEOUT}
                                                       PROCESSORS ${halves})
  endforeach()
endfunction()

if(HASHEP_WITH_CUDA)
  add_custom_target(gpu_tests)
  add_library(hashep_gpu_main STATIC ${PROJECT_SOURCE_DIR}/tests/gpu/gpu_main.cpp)
  target_link_libraries(hashep_gpu_main PUBLIC hashep_catch HashEP::cuda)
  hashep_set_flags(hashep_gpu_main)
  target_compile_options(hashep_gpu_main PRIVATE -O0)  # as hashep_catch_main
endif()

function(hashep_add_gpu_test name)
  hashep_add_test_program(${name} hashep_gpu_main ${ARGN})
  target_link_libraries(${name} PRIVATE HashEP::cuda_kernels)
  add_dependencies(gpu_tests ${name})
  add_test(NAME ${name} COMMAND ${name})
  # One at a time: a GPU's memory is not shared out among tests.
  set_tests_properties(${name} PROPERTIES LABELS gpu SKIP_RETURN_CODE 77 RUN_SERIAL ON
                                          TIMEOUT ${HASHEP_GPU_TEST_TIMEOUT})
endfunction()

function(hashep_add_cluster_test name)
  cmake_parse_arguments(ARG "" "" "SLOTS" ${ARGN})
  foreach(slots IN LISTS ARG_SLOTS)
    string(REPLACE "," "_" suffix ${slots})
    add_test(NAME ${name}.hosts_${suffix}
             COMMAND ${PROJECT_SOURCE_DIR}/tests/cluster/virtual_cluster.sh --rate none
                     --slots ${slots} -- $<TARGET_FILE:${name}>)
    set_tests_properties(${name}.hosts_${suffix} PROPERTIES LABELS cluster SKIP_RETURN_CODE 77
                         TIMEOUT ${HASHEP_TEST_TIMEOUT} PROCESSORS 4)
  endforeach()
endfunction()

function(hashep_set_long_tests)
  while(ARGN)
    list(POP_FRONT ARGN name seconds)
    set_tests_properties(${name} PROPERTIES COST ${seconds})
  endwhile()
endfunction()

function(hashep_set_waiting_tests)
  set_tests_properties(${ARGN} PROPERTIES PROCESSORS 1)
endfunction()

function(hashep_set_word_tests)
  foreach(name IN LISTS ARGN)
    set_property(TEST ${name} APPEND PROPERTY LABELS words)
  endforeach()
endfunction()

add_custom_target(thread_tests)
function(hashep_set_thread_tests)
  foreach(name IN LISTS ARGN)
    set_property(TEST ${name} APPEND PROPERTY LABELS threads)
    if(HASHEP_SANITIZE_THREADS)
      set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
                   "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/support/tsan.supp")
    endif()
    add_dependencies(thread_tests ${name})
  endforeach()
endfunction()
