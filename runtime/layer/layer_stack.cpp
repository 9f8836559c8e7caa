// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/layer_stack.hpp"

#include <algorithm>
#include <iterator>

#include "kernels/rows/combine.hpp"
#include "runtime/layer/stack_experts.hpp"

namespace hashep {
namespace {

BatchPlace place_of(const BatchPlan& plan) {
  return {plan.first_token, plan.global_tokens};
}

std::unique_ptr<HostExperts> make_experts(const ModelConfig& config,
                                          std::span<const Placement> placements, int ep_rank,
                                          const ExecOptions& options) {
  const HostExpertsOptions experts{.dtype = options.dtype,
                                   .num_routed = count_local_experts(placements, ep_rank),
                                   .num_layers = std::ssize(placements),
                                   .threads = options.threads,
                                   .library = options.gemm_library};
  if (!options.training) return make_packed_experts(config, experts);
  return std::make_unique<TrainedExperts>(config, experts, *options.training);
}

}  // namespace

LayerStack::LayerStack(const ModelConfig& config, const WeightSource& weights,
                       std::span<const Placement> placements, int ep_rank, bool residual,
                       const ExecOptions& options, Transport& transport)
    : config_(config),
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
  experts_->prepare_kernels(global_tokens);
}

void LayerStack::prepare(const BatchPlan& plan) {
  transport_.reserve(plan.layers, options_.dtype, config_.hidden_size, {});
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    layers_[layer].prepare(plan.layers[layer], place_of(plan), workspace_);
  }
  if (residual_) {
    const auto tokens = plan.tokens;
    output_.reserve(tokens * config_.hidden_size * dtype_size(options_.dtype));
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

TapeSizes LayerStack::tape_sizes() const {
  return {config_, options_.dtype, options_.training->recompute};
}

void LayerStack::prepare_tape(const BatchPlan& plan, StackTape& tape) const {
  tape.stack = nullptr;
  tape.layers.resize(layers_.size());
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    tape.layers[layer].reserve(tape_sizes(), plan.layers[layer]);
  }
}

void LayerStack::run(const BatchPlan& plan, MatrixView x, StackTape& tape, PhaseLog& log) {
  const MatrixView y = residual_ ? output_.matrix(x.dtype, x.rows, x.cols) : x;
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    layers_[layer].forward(plan.layers[layer], {x, y}, workspace_, log, &tape.layers[layer]);
    if (residual_) add_rows(y, x, options_.threads);
  }
  tape.stack = this;
  tape.step = plan.step;
}

void LayerStack::backward(const BatchPlan& plan, MatrixView gradients, StackTape& tape,
                          PhaseLog& log) {
  tape.stack = nullptr;
  const MatrixView of_inputs =
      residual_ ? output_.matrix(gradients.dtype, gradients.rows, gradients.cols) : gradients;
  for (size_t layer = layers_.size(); layer-- > 0;) {
    layers_[layer].backward(plan.layers[layer], {gradients, of_inputs}, tape.layers[layer],
                            backward_workspace_, log);
    if (residual_) add_rows(of_inputs, gradients, options_.threads);
  }
}

std::vector<Parameter> LayerStack::parameters() {
  std::vector<Parameter> all;
  for (HostMoeLayer& layer : layers_) {
    layer.for_each_ffn([&](std::span<const Parameter> of_ffn) {
      all.insert(all.end(), of_ffn.begin(), of_ffn.end());
    });
  }
  return all;
}

void LayerStack::sum_gradients(const Communicator& comm, Watch& watch) {
  for (HostMoeLayer& layer : layers_) layer.sum_gradients(comm, watch);
}

void LayerStack::clear_gradients() {
  for (const Parameter& parameter : parameters()) {
    std::fill_n(parameter.gradient.data, parameter.gradient.bytes(), std::byte{0});
  }
  for (HostMoeLayer& layer : layers_) layer.clear_sums();
}

void LayerStack::pack() {
  update([](std::span<const Parameter>) {});
}

void LayerStack::update(const std::function<void(std::span<const Parameter>)>& change) {
  for (HostMoeLayer& layer : layers_) layer.update(change);
}

void LayerStack::prepare_layer(const BatchPlan& plan, int64_t layer) {
  const auto index = static_cast<size_t>(layer);
  transport_.reserve(std::span(plan.layers).subspan(index, 1), options_.dtype, config_.hidden_size,
                     {});
  layers_[index].prepare(plan.layers[index], place_of(plan), workspace_);
}

void LayerStack::run_layer(const BatchPlan& plan, int64_t layer, ConstMatrixView x, MatrixView y,
                           PhaseLog& log) {
  const auto index = static_cast<size_t>(layer);
  layers_[index].forward(plan.layers[index], {x, y}, workspace_, log);
}

StackMemory LayerStack::memory() const {
  StackMemory memory;
  memory.weights = experts_->weight_bytes();
  memory.scratch = experts_->scratch_bytes();
  for (const HostMoeLayer& layer : layers_) memory.weights += layer.gate_bytes();
  memory.workspace = output_.capacity() + workspace_.shared.capacity() +
                     static_cast<int64_t>(workspace_.weights.capacity() * sizeof(float)) +
                     backward_workspace_.bytes();
  return memory;
}

}  // namespace hashep
