// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "core/cuda/device_buffer.hpp"
#include "kernels/expert_ffn_cuda.hpp"
#include "runtime/exec/cuda/device_plan.hpp"
#include "runtime/exec/cuda/phase_marks.hpp"
#include "runtime/exec/layer_weights.hpp"

namespace hashep {

/// The experts of a whole stack on one GPU, so that layers share scratch. Layer l's local experts
/// are consecutive in `routed`; expert l of `shared` is its shared experts.
struct DeviceStackExperts {
  DeviceExpertFfn routed;
  std::optional<DeviceExpertFfn> shared;
};

/// GPU memory that layers use one after the other.
struct DeviceWorkspace {
  DeviceBuffer rows;     // [total_recv, hidden_size]: expert-major
  DeviceBuffer weights;  // [tokens, top_k], fp32
  DeviceBuffer shared;   // shared experts' output, laid out as the state (SharedTiles)
  DeviceBuffer output;   // [tokens, hidden_size]: a layer's output, with residual; else empty
};

/// Hidden states of a rank's tokens in GPU memory, with the unused rows around them that shared
/// experts' tiles reach into.
struct DeviceState {
  MatrixView tiles;   // [SharedTiles::rows(), d]
  MatrixView tokens;  // [tokens, d], rows of `tiles`
};

/// One MoE layer on one rank's GPU: gate, dispatch, experts, shared experts, combine, all in stream
/// order. The one rank owns all experts.
class CudaMoeLayer {
 public:
  /// Reads the weights of `local_experts` into experts.routed from `first_expert` on, the shared
  /// experts and the gate, and copies them to the GPU. Throws InputError as read_layer_weights.
  CudaMoeLayer(const ModelConfig& config, int64_t layer, std::span<const int32_t> local_experts,
               int64_t first_expert, const WeightSource& weights, const WeightReading& reading,
               DeviceStackExperts& experts);

  /// Plans this layer's work with experts: tiles, algorithms, scratch. Host work, ahead of the step.
  /// `rows`: [total_recv, d]. True where addresses have changed.
  bool prepare(std::span<const int64_t> expert_offsets, const SharedTiles& tiles, MatrixView rows,
               DeviceLayerPlan& plan);

  /// x <- x + layer(x) with workspace.output for layer(x); without (null), x <- layer(x). In stream
  /// order; allocates nothing, waits for nothing.
  void enqueue(const DeviceLayerPlan& plan, const DeviceState& x, const DeviceWorkspace& workspace,
               PhaseMarks& marks, DeviceStream stream) const;

  /// Bytes of the gate's weights.
  int64_t gate_bytes() const { return gate_.capacity(); }

 private:
  const ModelConfig config_;
  int64_t layer_;
  int64_t first_expert_;
  DeviceStackExperts& experts_;
  DeviceBuffer gate_;  // [num_experts, d], fp32
};

}  // namespace hashep
