// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/learned_gate.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace hashep {

LearnedGate::LearnedGate(const ModelConfig& config, LoadedMatrix bias, int threads)
    : rule_{.kind = config.gate->kind,
            .score = config.score,
            .top_k = config.top_k,
            .scale = config.routed_scaling_factor},
      threads_(threads),
      logits_(config.num_experts, config.hidden_size),
      bias_(std::move(bias)),
      bias_gradient_(bias_.view.bytes()),
      loads_(static_cast<size_t>(config.num_experts)),
      shares_(static_cast<size_t>(config.num_experts)) {
  std::fill_n(bias_gradient_.data(), bias_gradient_.capacity(), std::byte{0});
}

void LearnedGate::choose(ConstMatrixView x, std::span<const uint8_t> is_padding, MatrixView logits,
                         std::span<int32_t> experts, std::span<float> weights) const {
  logits_.run(x, logits, threads_);
  const std::span bias(reinterpret_cast<const float*>(bias_.view.data),
                       static_cast<size_t>(bias_.view.rows * bias_.view.cols));
  choose_experts(rule_, logits, bias, is_padding, experts, weights, threads_);
}

void LearnedGate::to_gradients(std::span<const int32_t> experts,
                               std::span<const float> weight_gradients,
                               const TrainingOptions& training, const BatchPlace& place,
                               MatrixView logits) {
  const std::span<const int64_t> counts = place.expert_counts;
  const int64_t all = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  // Without assignments no token has a gradient.
  const double assignments = all == 0 ? 1.0 : static_cast<double>(all);
  for (size_t e = 0; e < counts.size(); ++e) {
    loads_[e] += counts[e];
    shares_[e] = static_cast<float>(static_cast<double>(counts[e]) / assignments);
  }
  const double per_token = static_cast<double>(rule_.top_k) / assignments;
  to_logit_gradients(rule_, experts, weight_gradients,
                     {.balance = training.balance_loss,
                      .z = training.z_loss,
                      .loads = shares_,
                      .per_token = static_cast<float>(per_token)},
                     logits, threads_);
}

void LearnedGate::add_losses(ConstMatrixView logits, std::span<const int32_t> experts,
                             FixedPointRows& shares, FixedPointRows& squares) const {
  std::vector<float> of_block(loads_.size());
  float sum = 0.0f;
  add_gate_losses(rule_, logits, experts, of_block, sum);
  const auto row_of = [](const float* first, int64_t count) {
    return ConstMatrixView{reinterpret_cast<const std::byte*>(first), DType::f32, 1, count};
  };
  shares.add(row_of(of_block.data(), std::ssize(of_block)), threads_);
  squares.add(row_of(&sum, 1), threads_);
}

void LearnedGate::step_bias(float step) {
  const int64_t all = std::accumulate(loads_.begin(), loads_.end(), int64_t{0});
  auto* const bias = reinterpret_cast<float*>(bias_.owned.data());
  for (size_t e = 0; e < loads_.size() && has_bias(); ++e) {
    const int64_t share = loads_[e] * std::ssize(loads_);  // as many as `all` is the mean
    if (share < all) bias[e] += step;
    if (share > all) bias[e] -= step;
  }
  clear_loads();
}

void LearnedGate::clear_loads() {
  std::ranges::fill(loads_, 0);
}

}  // namespace hashep
