# SPDX-License-Identifier: Apache-2.0
# CUDA for the layers that need it. HashEP::cuda_libraries is what runs on a GPU: the CUDA runtime,
# statically, so that programs also start where there is no driver, and cuBLAS.
# hashep_set_cuda_flags(TARGET): flags of device code, the same for every target.
if(HASHEP_WITH_CUDA AND HASHEP_CUDA_STANDIN)
  message(FATAL_ERROR "HASHEP_CUDA_STANDIN takes the place of the libraries of HASHEP_WITH_CUDA")
endif()
if(HASHEP_WITH_CUDA)
  enable_language(CUDA)
endif()
if(CMAKE_VERSION VERSION_LESS 3.26 AND NOT TARGET CUDA::nvToolsExt)
  # CMake 3.25 takes this library, which CUDA 13 no longer has, to be there.
  add_library(CUDA::nvToolsExt INTERFACE IMPORTED)
endif()
find_package(CUDAToolkit 12.5 REQUIRED)  # the first with cublasGemmGroupedBatchedEx

if(HASHEP_WITH_CUDA)
  add_library(hashep_cuda_libraries INTERFACE)
  add_library(HashEP::cuda_libraries ALIAS hashep_cuda_libraries)
  target_link_libraries(hashep_cuda_libraries INTERFACE CUDA::cudart_static CUDA::cublas CUDA::cublasLt)
  set_target_properties(hashep_cuda_libraries PROPERTIES EXPORT_NAME cuda_libraries)
  set_property(GLOBAL APPEND PROPERTY HASHEP_LIBRARIES hashep_cuda_libraries)
endif()

function(hashep_set_cuda_flags target)
  # -std: CMake 3.25 knows no CMAKE_CUDA_STANDARD 20. relaxed-constexpr: BFloat16's and ExpertPlace's
  # functions run on the device too. 554: nvcc takes MatrixView's conversion, which a `requires`
  # rules out for ConstMatrixView, to be there for both. unknown-pragmas: the host's compiler meets
  # `#pragma unroll`.
  target_compile_options(${target} PRIVATE
    "$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;--expt-relaxed-constexpr;--diag-suppress=554>"
    "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wno-unknown-pragmas>")
  if(HASHEP_WARNINGS_AS_ERRORS)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>)
  endif()
endfunction()
