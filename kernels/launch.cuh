// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include "core/cuda/check_cuda.hpp"
#include "core/device_stream.hpp"
#include "core/narrow.hpp"
#include "kernels/ffn/row_tiling.hpp"

namespace hashep {

/// Of __launch_bounds__: with no such bound ptxas aims at more blocks, and spills for them.
inline constexpr int kMinBlocks = 1;

/// The kernel of a body whose threads need nothing of each other.
template <typename Body>
__global__ void __launch_bounds__(kBlockThreads, kMinBlocks)
    run_body(const __grid_constant__ typename Body::Arguments arguments) {
  Body::run(arguments, blockIdx.x, static_cast<int>(threadIdx.x));
}

/// Launches run_body over all blocks of the arguments. Throws RunError naming `function`.
template <typename Body>
void launch_body(const typename Body::Arguments& arguments, DeviceStream stream,
                 const char* function) {
  const int blocks = narrow<int>(arguments.blocks(), function);
  run_body<Body><<<static_cast<unsigned>(blocks), kBlockThreads, 0, stream.handle>>>(arguments);
  check_cuda(cudaGetLastError(), function);
}

}  // namespace hashep
