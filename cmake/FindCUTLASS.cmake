# SPDX-License-Identifier: Apache-2.0
# Finds the headers of CUTLASS (https://github.com/NVIDIA/cutlass): in CUTLASS_ROOT, a folder that
# has include/cutlass or is an unpacked nvidia-cutlass, NVIDIA's Python package; else in that package
# where Python has it, or in the system. Defines CUTLASS::CUTLASS, headers alone.
if(NOT CUTLASS_INCLUDE_DIR AND NOT DEFINED CUTLASS_ROOT AND NOT DEFINED ENV{CUTLASS_ROOT})
  find_package(Python3 QUIET COMPONENTS Interpreter)
  if(Python3_FOUND)
    execute_process(
      COMMAND ${Python3_EXECUTABLE} -c "import importlib.util as u; s = u.find_spec('cutlass_library')
if s: print(s.submodule_search_locations[0])"
      OUTPUT_VARIABLE CUTLASS_PACKAGE OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
endif()
find_path(CUTLASS_INCLUDE_DIR cutlass/cutlass.h HINTS ${CUTLASS_PACKAGE}
          PATH_SUFFIXES include source/include cutlass_library/source/include)
if(CUTLASS_INCLUDE_DIR)
  file(STRINGS "${CUTLASS_INCLUDE_DIR}/cutlass/version.h" CUTLASS_VERSION_LINES
       REGEX "^#define CUTLASS_(MAJOR|MINOR|PATCH) +[0-9]+")
  list(TRANSFORM CUTLASS_VERSION_LINES REPLACE "^#define CUTLASS_[A-Z]+ +([0-9]+).*" "\\1")
  list(JOIN CUTLASS_VERSION_LINES "." CUTLASS_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CUTLASS REQUIRED_VARS CUTLASS_INCLUDE_DIR
                                  VERSION_VAR CUTLASS_VERSION)
if(CUTLASS_FOUND AND NOT TARGET CUTLASS::CUTLASS)
  add_library(CUTLASS::CUTLASS INTERFACE IMPORTED)
  set_target_properties(CUTLASS::CUTLASS PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${CUTLASS_INCLUDE_DIR}")
endif()
mark_as_advanced(CUTLASS_INCLUDE_DIR)
