# SPDX-License-Identifier: Apache-2.0
# Finds liburing 2.2 or later (https://github.com/axboe/liburing) and defines the imported target Liburing::uring.
find_path(Liburing_INCLUDE_DIR liburing.h)
find_library(Liburing_LIBRARY uring)
set(Liburing_is_new FALSE)
if(Liburing_INCLUDE_DIR)
  file(STRINGS "${Liburing_INCLUDE_DIR}/liburing.h" Liburing_call REGEX "io_uring_sqe_set_data64")
  if(Liburing_call)
    set(Liburing_is_new TRUE)
  endif()
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Liburing REQUIRED_VARS Liburing_LIBRARY Liburing_INCLUDE_DIR Liburing_is_new)
if(Liburing_FOUND AND NOT TARGET Liburing::uring)
  add_library(Liburing::uring UNKNOWN IMPORTED)
  set_target_properties(Liburing::uring PROPERTIES IMPORTED_LOCATION "${Liburing_LIBRARY}"
                                                   INTERFACE_INCLUDE_DIRECTORIES "${Liburing_INCLUDE_DIR}")
endif()
mark_as_advanced(Liburing_INCLUDE_DIR Liburing_LIBRARY)
