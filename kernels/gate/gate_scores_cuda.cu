// SPDX-License-Identifier: Apache-2.0
#include "kernels/gate/gate_body.hpp"
#include "kernels/launch.cuh"

namespace hashep {
namespace {

template <typename Body>
__global__ void __launch_bounds__(kBlockThreads, kMinBlocks)
    run_gate(const __grid_constant__ GateArguments arguments) {
  __shared__ typename Body::Shared shared;
  Body::run_block(arguments, blockIdx.x, shared, [](const auto& work) {
    work(static_cast<int>(threadIdx.x));
    __syncwarp();
  });
}

}  // namespace

void gate_weights(ConstMatrixView x, ConstMatrixView gate, std::span<const int32_t> experts,
                  int top_k, float scale, std::span<float> weights, DeviceStream stream) {
  const GateArguments arguments = gate_arguments(x, gate, experts, top_k, scale, weights);
  with_gate_body(arguments, [&](auto body) {
    const auto blocks = static_cast<unsigned>(narrow<int>(arguments.blocks(), "gate_weights"));
    run_gate<decltype(body)><<<blocks, kBlockThreads, 0, stream.handle>>>(arguments);
    check_cuda(cudaGetLastError(), "gate_weights");
  });
}

}  // namespace hashep
