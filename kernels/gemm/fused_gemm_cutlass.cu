// SPDX-License-Identifier: Apache-2.0
// Fused GEMMs by CUTLASS's grouped GEMM for sm_90. Compiled for sm_90a alone
// (kernels/CMakeLists.txt).
#include "kernels/gemm/fused_kernel.cuh"

#include <cuda_runtime_api.h>

#include "core/cuda/check_cuda.hpp"
#include "core/cuda/device.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

using Kernel = FusedKernel::Kernel;
using Element = FusedKernel::Element;
using Shape = FusedKernel::Shape;

Kernel::Arguments arguments_of(const FusedGemm& gemm) {
  return {
      .mode = cutlass::gemm::GemmUniversalMode::kGrouped,
      .problem_shape = {gemm.groups,
                        const_cast<Shape*>(reinterpret_cast<const Shape*>(gemm.shapes)), nullptr},
      .mainloop = {reinterpret_cast<const Element**>(const_cast<const std::byte**>(gemm.x)),
                   reinterpret_cast<Kernel::StrideA>(const_cast<int64_t*>(gemm.in_strides)),
                   reinterpret_cast<const Element**>(const_cast<const std::byte**>(gemm.w)),
                   reinterpret_cast<Kernel::StrideB>(const_cast<int64_t*>(gemm.in_strides))},
      .epilogue = {gemm.y, gemm.bias1, gemm.bias3, gemm.epilogue},
      .hw_info = {.device_id = current_gpu(), .sm_count = multiprocessors()},
      .scheduler = {}};
}

}  // namespace

const char* why_no_fused_gemm() {
  if (compute_capability_major() == 9) return nullptr;
  return "fused expert GEMMs are made for sm_90 (H100, H200)";
}

int64_t fused_gemm_workspace_bytes() {
  return static_cast<int64_t>(Kernel::get_workspace_size(arguments_of({})));
}

void run_fused_gemm(const FusedGemm& gemm, void* workspace, DeviceStream stream) {
  if (gemm.groups == 0) return;
  if (const char* const why = why_no_fused_gemm()) throw RunError(why);
  const auto kernel = cutlass::device_kernel<Kernel>;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  Kernel::SharedStorageSize),
             "cudaFuncSetAttribute");
  const Kernel::Params params = Kernel::to_underlying_arguments(arguments_of(gemm), workspace);
  kernel<<<Kernel::get_grid_shape(params), Kernel::get_block_shape(), Kernel::SharedStorageSize,
           stream.handle>>>(params);
  check_cuda(cudaGetLastError(), "run_fused_gemm");
}

}  // namespace hashep
