// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/layer_stack.hpp"

#include <iterator>

#include "kernels/ffn/tiles.hpp"
#include "kernels/rows/combine.hpp"

namespace hashep {
namespace {

BatchPlace place_of(const BatchPlan& plan) {
  return {plan.first_token, plan.global_tokens};
}

std::unique_ptr<StackExperts<ExpertFfn>> make_experts(const ModelConfig& config,
                                                      std::span<const Placement> placements,
                                                      int ep_rank, const ExecOptions& options) {
  auto experts = std::make_unique<StackExperts<ExpertFfn>>(StackExperts<ExpertFfn>{
      ExpertFfn(config.routed_shape(), options.dtype, count_local_experts(placements, ep_rank),
                options.threads, options.gemm_library),
      std::nullopt});
  if (config.num_shared_experts > 0) {
    experts->shared.emplace(config.shared_shape(), options.dtype,
                            static_cast<int64_t>(placements.size()), options.threads,
                            options.gemm_library);
  }
  return experts;
}

}  // namespace

LayerStack::LayerStack(const ModelConfig& config, const WeightSource& weights,
                       std::span<const Placement> placements, int ep_rank, bool residual,
                       const ExecOptions& options, Transport& transport)
    : hidden_size_(config.hidden_size),
      residual_(residual),
      options_(options),
      transport_(transport),
      experts_(make_experts(config, placements, ep_rank, options)) {
  layers_.reserve(placements.size());
  for_each_layer(placements, ep_rank,
                 [&](int64_t layer, std::span<const int32_t> local_experts, int64_t first_expert) {
                   layers_.emplace_back(config, layer, local_experts, first_expert, weights,
                                        options, *experts_, transport);
                 });
}

void LayerStack::prepare_kernels(int64_t global_tokens) {
  experts_->routed.prepare_all_tiles(global_tokens);  // a token has an expert once
  if (experts_->shared) experts_->shared->prepare_aligned_kernels(shared_tile_rows(global_tokens));
}

void LayerStack::prepare(const BatchPlan& plan) {
  transport_.reserve(plan.layers, options_.dtype, hidden_size_, {});
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    layers_[layer].prepare(plan.layers[layer], place_of(plan), workspace_);
  }
  if (residual_) {
    const auto tokens = plan.tokens;
    output_.reserve(tokens * hidden_size_ * dtype_size(options_.dtype));
  }
}

void LayerStack::run(const BatchPlan& plan, MatrixView x, PhaseLog& log, LayerStates* states) {
  const MatrixView y = residual_ ? output_.matrix(x.dtype, x.rows, x.cols) : x;
  if (states != nullptr) states->add(x);
  for (int64_t layer = 0; layer < std::ssize(layers_); ++layer) {
    run_layer(plan, layer, x, y, log);
    if (residual_) add_rows(y, x, options_.threads);
    if (states != nullptr) states->add(x);
  }
}

void LayerStack::prepare_layer(const BatchPlan& plan, int64_t layer) {
  const auto index = static_cast<size_t>(layer);
  transport_.reserve(std::span(plan.layers).subspan(index, 1), options_.dtype, hidden_size_, {});
  layers_[index].prepare(plan.layers[index], place_of(plan), workspace_);
}

void LayerStack::run_layer(const BatchPlan& plan, int64_t layer, ConstMatrixView x, MatrixView y,
                           PhaseLog& log) {
  const auto index = static_cast<size_t>(layer);
  layers_[index].forward(plan.layers[index], {x, y}, workspace_, log);
}

StackMemory LayerStack::memory() const {
  StackMemory memory;
  memory.weights = experts_->routed.weight_bytes();
  memory.scratch = experts_->routed.scratch_bytes();
  if (experts_->shared) {
    memory.weights += experts_->shared->weight_bytes();
    memory.scratch += experts_->shared->scratch_bytes();
  }
  for (const HostMoeLayer& layer : layers_) memory.weights += layer.gate_bytes();
  memory.workspace = output_.capacity() + workspace_.shared.capacity() +
                     static_cast<int64_t>(workspace_.weights.capacity() * sizeof(float));
  return memory;
}

}  // namespace hashep
