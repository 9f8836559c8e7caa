# SPDX-License-Identifier: Apache-2.0
# Finds hwloc 2 (https://www.open-mpi.org/projects/hwloc) and defines the imported target
# Hwloc::hwloc.
find_path(Hwloc_INCLUDE_DIR hwloc.h)
find_path(Hwloc_CONFIG_INCLUDE_DIR hwloc/autogen/config.h)  # Debian has it among the machine's own
find_library(Hwloc_LIBRARY hwloc)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Hwloc REQUIRED_VARS Hwloc_LIBRARY Hwloc_INCLUDE_DIR Hwloc_CONFIG_INCLUDE_DIR)
if(Hwloc_FOUND AND NOT TARGET Hwloc::hwloc)
  add_library(Hwloc::hwloc UNKNOWN IMPORTED)
  set_target_properties(Hwloc::hwloc PROPERTIES
    IMPORTED_LOCATION "${Hwloc_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${Hwloc_INCLUDE_DIR};${Hwloc_CONFIG_INCLUDE_DIR}")
endif()
mark_as_advanced(Hwloc_INCLUDE_DIR Hwloc_CONFIG_INCLUDE_DIR Hwloc_LIBRARY)
