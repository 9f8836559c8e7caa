// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "core/cuda/device_buffer.hpp"
#include "kernels/ffn/expert_ffn_cuda.hpp"
#include "runtime/layer/cuda/device_plan.hpp"
#include "runtime/layer/cuda/gpu_phase_timer.hpp"
#include "runtime/layer/layer_weights.hpp"
#include "runtime/layer/stack_experts.hpp"

namespace hashep {

/// GPU memory that layers use one after the other.
struct DeviceWorkspace {
  DeviceBuffer weights;  // [rows, top_k], fp32
  DeviceBuffer shared;   // shared experts' output, laid out as the state (SharedTiles)
  DeviceBuffer output;   // [rows, hidden_size]: a layer's output, with residual; else empty
};

/// The streams of a layer, and the points where one waits for the other. The same stream twice
/// where there is nothing to overlap.
struct LayerStreams {
  DeviceStream experts;   // of the gate, the experts and combine
  DeviceStream exchange;  // of dispatch and of results on their way back
  struct Events {
    CudaEvent ready;                                      // x may be read
    std::array<CudaEvent, Exchange::kMaxParts> landed;    // a part's rows
    std::array<CudaEvent, Exchange::kMaxParts> computed;  // their outputs
    CudaEvent given_back;
  };
  const Events* events = nullptr;

  bool are_apart() const { return experts.handle != exchange.handle; }
};

/// Hidden states of a rank's tokens in GPU memory, with the unused rows around them that kernels
/// and shared experts' tiles reach into.
struct DeviceState {
  MatrixView tiles;  // [SharedTiles::rows() or more, d]
  MatrixView rows;   // [DeviceLayerPlan::rows, d], of `tiles`: the tokens, then padding
};

/// One MoE layer on one rank's GPU (run_layer_work). Dispatch runs on a stream of its own where the
/// exchange gains from that, the gate and the shared experts meanwhile, then the routed experts
/// part by part as rows land, each part's results on their way back while the next is computed; at
/// last combine.
class CudaMoeLayer {
 public:
  /// Reads the weights of `local_experts` into experts.routed from `first_expert` on, the shared
  /// experts and the gate, and copies them to the GPU. Throws InputError as read_layer_weights.
  CudaMoeLayer(const ModelConfig& config, int64_t layer, std::span<const int32_t> local_experts,
               int64_t first_expert, const WeightSource& weights, const WeightReading& reading,
               StackExperts<DeviceExpertFfn>& experts);

  /// Plans this layer's work with experts: tiles, algorithms, scratch. Host work, ahead of the
  /// step. The plan's exchange has begun. True where addresses have changed.
  bool prepare(std::span<const int64_t> expert_offsets, const SharedTiles& tiles,
               DeviceLayerPlan& plan);

  /// x <- x + layer(x) with workspace.output for layer(x); without (null), x <- layer(x). In stream
  /// order; allocates nothing, waits for nothing.
  void enqueue(const DeviceLayerPlan& plan, const DeviceState& x, const DeviceWorkspace& workspace,
               GpuPhaseTimer& timer, const LayerStreams& streams) const;

  /// Bytes of the gate's weights.
  int64_t gate_bytes() const { return gate_.capacity(); }

 private:
  class Work;

  const ModelConfig config_;
  int64_t layer_;
  int64_t first_expert_;
  StackExperts<DeviceExpertFfn>& experts_;
  DeviceBuffer gate_;  // [num_experts, d], fp32
};

}  // namespace hashep
