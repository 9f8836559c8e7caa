// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/layer_training.hpp"

#include <algorithm>

namespace hashep {

LayerSums::LayerSums(const FfnLayout* shared, ConstMatrixView of_gate) {
  if (shared != nullptr) {
    const int64_t d = shared->shape.hidden_size;
    w_in.emplace(shared->in_size(), d);
    w_out.emplace(d, shared->shape.ffn_size);
    if (shared->biases.in) bias_in.emplace(1, shared->in_size());
    if (shared->biases.out) bias_out.emplace(1, d);
  }
  if (of_gate.rows > 0) gate.emplace(of_gate.rows, of_gate.cols);
}

void LayerSums::add_shared(const FfnLayout& layout, const float* gradient, int threads) {
  const auto add = [&](std::optional<FixedPointRows>& sum, int64_t begin, int64_t rows,
                       int64_t cols) {
    if (!sum) return;
    sum->add({reinterpret_cast<const std::byte*>(gradient + begin), DType::f32, rows, cols},
             threads);
  };
  const int64_t d = layout.shape.hidden_size;
  add(w_in, 0, layout.in_size(), d);
  add(w_out, layout.w_out(), d, layout.shape.ffn_size);
  add(bias_in, layout.bias_in(), 1, layout.in_size());
  add(bias_out, layout.bias_out(), 1, d);
}

std::vector<FixedPointRows*> LayerSums::all() {
  std::vector<FixedPointRows*> found;
  for (auto* sum : {&w_in, &w_out, &bias_in, &bias_out, &gate}) {
    if (*sum) found.push_back(&**sum);
  }
  return found;
}

void LayerSums::clear() {
  for (FixedPointRows* sum : all()) sum->clear();
}

void BackwardWorkspace::reserve(const ModelConfig& config, DType dtype,
                                const TrainingOptions& training, bool has_weights,
                                const ExchangePlan& plan) {
  const int64_t element = dtype_size(dtype);
  const int64_t d = config.hidden_size;
  const int64_t rows = plan.total_recv();
  const auto assignments = std::ssize(plan.experts);
  constexpr int64_t kFloat = sizeof(float);
  const FfnShape routed = config.routed_shape();
  kept.reserve(rows * d * element);
  hidden.reserve(rows * routed.ffn_size * element);
  if (training.recompute) z.reserve(rows * preactivation_size(routed) * element);
  ones.reserve(assignments * kFloat);
  std::fill_n(reinterpret_cast<float*>(ones.data()), assignments, 1.0f);
  int64_t block_size = 0;
  if (has_weights) {
    row_weights.reserve(rows * kFloat);
    row_weight_gradients.reserve(rows * kFloat);
    weight_gradients.reserve(assignments * kFloat);
    logit_gradients.reserve(assignments * kFloat);
    block_size = config.num_experts * d;
  }
  if (config.num_shared_experts > 0) {
    const FfnShape shared = config.shared_shape();
    shared_kept.reserve(plan.tokens * d * element);
    shared_hidden.reserve(plan.tokens * shared.ffn_size * element);
    if (training.recompute) shared_z.reserve(plan.tokens * preactivation_size(shared) * element);
    block_size = std::max(block_size, FfnLayout{shared, {true, true}}.size());
  }
  if (block_size == 0) return;
  base.reserve(plan.tokens * d * element);
  block.reserve(block_size * kFloat);
}

int64_t BackwardWorkspace::bytes() const {
  return kept.capacity() + hidden.capacity() + z.capacity() + row_weights.capacity() +
         row_weight_gradients.capacity() + ones.capacity() + weight_gradients.capacity() +
         logit_gradients.capacity() + base.capacity() + shared_kept.capacity() +
         shared_hidden.capacity() + shared_z.capacity() + block.capacity();
}

}  // namespace hashep
