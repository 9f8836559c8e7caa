# SPDX-License-Identifier: Apache-2.0
# CUDA for the layers that need it. HashEP::cuda_libraries is what a program links to run on a GPU:
# the CUDA runtime, statically, so that the program also starts where there is no driver, and cuBLAS.
# hashep_set_cuda_flags(TARGET): flags of device code, the same for every target.
if(HASHEP_WITH_CUDA)
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
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
endif()

function(hashep_set_cuda_flags target)
  # constexpr functions of the host (BFloat16, ExpertPlace) run on the device too.
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr -Xcompiler=-Wall,-Wextra>)
  if(HASHEP_WARNINGS_AS_ERRORS)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>)
  endif()
endfunction()
