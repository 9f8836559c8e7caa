# SPDX-License-Identifier: Apache-2.0
# Finds LIBXSMM (https://github.com/libxsmm/libxsmm) and defines the imported target LIBXSMM::xsmm: its small
# GEMMs, without the BLAS that it can fall back on.
find_package(Threads QUIET)
find_path(LIBXSMM_INCLUDE_DIR libxsmm.h)
find_library(LIBXSMM_LIBRARY xsmm)
find_library(LIBXSMM_NOBLAS_LIBRARY xsmmnoblas)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LIBXSMM
  REQUIRED_VARS LIBXSMM_LIBRARY LIBXSMM_NOBLAS_LIBRARY LIBXSMM_INCLUDE_DIR Threads_FOUND)
if(LIBXSMM_FOUND AND NOT TARGET LIBXSMM::xsmm)
  add_library(LIBXSMM::xsmm UNKNOWN IMPORTED)
  set_target_properties(LIBXSMM::xsmm PROPERTIES
    IMPORTED_LOCATION "${LIBXSMM_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${LIBXSMM_INCLUDE_DIR}"
    INTERFACE_LINK_LIBRARIES "${LIBXSMM_NOBLAS_LIBRARY};Threads::Threads;${CMAKE_DL_LIBS}")
endif()
mark_as_advanced(LIBXSMM_INCLUDE_DIR LIBXSMM_LIBRARY LIBXSMM_NOBLAS_LIBRARY)
