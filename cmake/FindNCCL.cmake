# SPDX-License-Identifier: Apache-2.0
# Finds NCCL (https://developer.nvidia.com/nccl): in NCCL_ROOT, beside the CUDA toolkit
# (CUDAToolkit_ROOT), or in the system. NCCL_ROOT may be the folder nvidia/nccl of NVIDIA's Python
# package. Defines NCCL::headers and, where COMPONENTS library asks for it, NCCL::nccl.
find_path(NCCL_INCLUDE_DIR nccl.h
          HINTS ${CUDAToolkit_ROOT} ENV CUDAToolkit_ROOT ${CUDAToolkit_INCLUDE_DIRS}
          PATH_SUFFIXES include)
# The library that goes with the header. The Python package has no link without a version.
find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 NAMES_PER_DIR
             HINTS ${NCCL_INCLUDE_DIR}/.. ${CUDAToolkit_ROOT} ENV CUDAToolkit_ROOT ${CUDAToolkit_LIBRARY_DIR}
             PATH_SUFFIXES lib lib64)
if(NCCL_INCLUDE_DIR)
  file(STRINGS "${NCCL_INCLUDE_DIR}/nccl.h" NCCL_VERSION_LINES
       REGEX "^#define NCCL_(MAJOR|MINOR|PATCH) +[0-9]+")
  list(TRANSFORM NCCL_VERSION_LINES REPLACE "^#define NCCL_[A-Z]+ +([0-9]+).*" "\\1")
  list(JOIN NCCL_VERSION_LINES "." NCCL_VERSION)
endif()
if(NCCL_LIBRARY)
  set(NCCL_library_FOUND TRUE)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(NCCL REQUIRED_VARS NCCL_INCLUDE_DIR VERSION_VAR NCCL_VERSION
                                  HANDLE_COMPONENTS)
if(NCCL_FOUND AND NOT TARGET NCCL::headers)
  add_library(NCCL::headers INTERFACE IMPORTED)
  set_target_properties(NCCL::headers PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${NCCL_INCLUDE_DIR}")
endif()
if(NCCL_FOUND AND NCCL_LIBRARY AND NOT TARGET NCCL::nccl)
  add_library(NCCL::nccl UNKNOWN IMPORTED)
  set_target_properties(NCCL::nccl PROPERTIES IMPORTED_LOCATION "${NCCL_LIBRARY}"
                                              INTERFACE_LINK_LIBRARIES NCCL::headers)
endif()
mark_as_advanced(NCCL_INCLUDE_DIR NCCL_LIBRARY)
