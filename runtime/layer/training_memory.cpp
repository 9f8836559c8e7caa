// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/training_memory.hpp"

#include <algorithm>

#include "kernels/ffn/ffn_layout.hpp"
#include "runtime/layer/stack_experts.hpp"

namespace hashep {
namespace {

constexpr int64_t kFloat = sizeof(float);
constexpr int64_t kSum = 2 * sizeof(int64_t);  // of a value that all ranks hold

}  // namespace

TrainingMemory training_memory(const ModelConfig& config, std::span<const Placement> placements,
                               DType dtype) {
  int64_t most_experts = 0;
  for (int rank = 0; rank < placements.front().ep_size(); ++rank) {
    most_experts = std::max(most_experts, count_local_experts(placements, rank));
  }
  const auto layers = std::ssize(placements);
  const int64_t routed = most_experts * FfnLayout{config.routed_shape(), {}}.size();
  const int64_t shared =
      config.num_shared_experts > 0 ? layers * FfnLayout{config.shared_shape(), {}}.size() : 0;
  int64_t gates = 0;
  for (int64_t layer = 0; layer < layers; ++layer) {
    if (config.shape().has_gate_weights(layer)) gates += config.num_experts * config.hidden_size;
  }
  const int64_t all = routed + shared + gates;
  return {.parameters = kFloat * all,
          .packed = 2 * dtype_size(dtype) * (routed + shared),
          .gradients = kFloat * all + kSum * (shared + gates),
          .states = 2 * kFloat * all};
}

}  // namespace hashep
