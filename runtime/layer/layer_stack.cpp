// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/layer_stack.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>

#include "comm/sum_over_ranks.hpp"
#include "hashep/error.hpp"
#include "kernels/rows/combine.hpp"
#include "runtime/layer/stack_experts.hpp"
#include "runtime/layer/streamed_experts.hpp"

namespace hashep {
namespace {

BatchPlace place_of(const BatchPlan& plan, int64_t layer) {
  const auto experts = plan.expert_counts.size() / plan.layers.size();
  return {.first_token = plan.first_token,
          .global_tokens = plan.global_tokens,
          .is_padding = plan.is_padding,
          .expert_counts =
              std::span(plan.expert_counts).subspan(static_cast<size_t>(layer) * experts, experts)};
}

/// Has a layer's gate choose, when it is reached.
class GateSource final : public AssignmentSource {
 public:
  GateSource(HostMoeLayer& layer, ConstMatrixView x, std::span<const uint8_t> is_padding,
             LayerWorkspace& workspace, LayerTape* tape, PhaseLog& log)
      : layer_(layer),
        x_(x),
        is_padding_(is_padding),
        workspace_(workspace),
        tape_(tape),
        log_(log) {}

  void assign(const RoutedLayer& layer, std::span<int32_t> experts) override {
    const PhaseLog::Scope scope(log_, Phase::gate, layer.layer);
    layer_.choose(x_, is_padding_, workspace_, tape_, experts);
  }

 private:
  HostMoeLayer& layer_;
  ConstMatrixView x_;
  std::span<const uint8_t> is_padding_;
  LayerWorkspace& workspace_;
  LayerTape* tape_;
  PhaseLog& log_;
};

std::unique_ptr<HostExperts> make_experts(const ModelConfig& config, const WeightSource& weights,
                                          std::span<const Placement> placements, int ep_rank,
                                          const ExecOptions& options) {
  const HostExpertsOptions experts{.dtype = options.dtype,
                                   .num_routed = count_local_experts(placements, ep_rank),
                                   .num_layers = std::ssize(placements),
                                   .threads = options.threads,
                                   .library = options.gemm_library};
  if (options.training) {
    return std::make_unique<TrainedExperts>(config, experts, *options.training);
  }
  if (options.weight_memory == 0) return make_packed_experts(config, experts);
  StreamingOptions streaming{.memory = options.weight_memory,
                             .lookahead = options.weight_lookahead,
                             .reads_ahead = options.weights_ahead,
                             .check_finite = options.check_finite,
                             .form = options.weight_form};
  return make_streamed_experts(config, experts, weights, placements, ep_rank, streaming);
}

/// Streamed experts are used one after the other.
ExecOptions with_order(ExecOptions options) {
  if (options.weight_memory > 0) options.overlap = false;
  return options;
}

}  // namespace

LayerStack::LayerStack(const ModelConfig& config, const WeightSource& weights,
                       std::span<const Placement> placements, int ep_rank, bool residual,
                       const ExecOptions& options, Transport& transport)
    : config_(config),
      residual_(residual),
      options_(with_order(options)),
      transport_(transport),
      experts_(make_experts(config, weights, placements, ep_rank, options_)) {
  layers_.reserve(placements.size());
  for_each_layer(placements, ep_rank,
                 [&](int64_t layer, std::span<const int32_t> local_experts, int64_t first_expert) {
                   layers_.emplace_back(config, layer, local_experts, first_expert, weights,
                                        options_, *experts_, transport);
                 });
}

void LayerStack::prepare_kernels(int64_t global_tokens) {
  experts_->prepare_kernels(global_tokens);
}

void LayerStack::prepare(const BatchPlan& plan) {
  // Layers with a gate are the last ones.
  const auto first_unplanned = std::ranges::find_if(
      plan.layers, [](const ExchangePlan& layer) { return !layer.is_planned(); });
  const std::span planned(plan.layers.begin(), first_unplanned);
  if (config_.num_experts > 0) {
    transport_.reserve(planned, options_.dtype, config_.hidden_size, {});
  }
  for (size_t layer = 0; layer < planned.size(); ++layer) {
    layers_[layer].prepare(planned[layer], place_of(plan, static_cast<int64_t>(layer)), workspace_);
  }
  if (residual_) {
    output_.reserve(plan.tokens * config_.hidden_size * dtype_size(options_.dtype));
  }
}

void LayerStack::run(BatchPlan& plan, MatrixView x, PhaseLog& log, StackTape* tape,
                     LayerStates* states) {
  const MatrixView y = output_for(x);
  if (states != nullptr) states->add(x);
  experts_->begin(plan);
  for (int64_t layer = 0; layer < std::ssize(layers_); ++layer) {
    pass_layer(plan, layer, x, y, log, tape);
    if (residual_) add_rows(y, x, options_.threads);
    if (states != nullptr) states->add(x);
  }
}

void LayerStack::forward_layer(BatchPlan& plan, int64_t layer, ConstMatrixView x, MatrixView y,
                               PhaseLog& log, StackTape* tape) {
  experts_->begin_layer(plan, layer);
  pass_layer(plan, layer, x, y, log, tape);
}

void LayerStack::pass_layer(BatchPlan& plan, int64_t layer, ConstMatrixView x, MatrixView y,
                            PhaseLog& log, StackTape* tape) {
  LayerTape* const kept = tape == nullptr ? nullptr : &tape->layers[layer];
  if (kept != nullptr) kept->stack = nullptr;
  if (layers_[layer].has_gate()) plan_gate(plan, layer, x, kept, log);
  layers_[layer].forward(plan.layers[layer], {x, y}, workspace_, log, kept);
  if (kept == nullptr) return;
  kept->stack = this;
  kept->step = plan.step;
  kept->gate_pass = layers_[layer].has_gate() ? plan.gate_passes[layer] : 0;
}

void LayerStack::plan_gate(BatchPlan& plan, int64_t layer, ConstMatrixView x, LayerTape* tape,
                           PhaseLog& log) {
  if (gate_planner_ == nullptr) throw RunError("a stack with gates has no planner for them");
  plan.gate_passes.resize(layers_.size());
  plan.gate_passes[layer] = ++gate_passes_;
  GateSource source(layers_[layer], x, plan.is_padding, workspace_, tape, log);
  gate_planner_->plan_layer(layer, source, plan, log);
  const PhaseLog::Scope scope(log, Phase::plan, layer);
  prepare_layer(plan, layer);
  if (tape != nullptr) tape->reserve(tape_sizes(layer), plan.layers[layer]);
}

TapeSizes LayerStack::tape_sizes(int64_t layer) const {
  return {config_, options_.dtype, options_.training->recompute, layer};
}

int64_t LayerStack::tape_bytes(const BatchPlan& plan) const {
  return batch_tape_bytes(config_, options_.dtype, options_.training->recompute, plan);
}

bool LayerStack::has_gradient_blocks() const {
  // What the last layer has, all have that have more than routed experts.
  return tape_sizes(std::ssize(layers_) - 1).keeps_input();
}

void LayerStack::prepare_tape(const BatchPlan& plan, StackTape& tape) const {
  tape.layers.resize(layers_.size());
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    LayerTape& kept = tape.layers[layer];
    if (kept.stack != this || kept.step != plan.step) kept.stack = nullptr;
    if (!plan.layers[layer].is_planned()) continue;
    kept.reserve(tape_sizes(static_cast<int64_t>(layer)), plan.layers[layer]);
  }
}

bool LayerStack::keeps(const StackTape& tape, int64_t step, int64_t layer) const {
  return tape.layers.size() == layers_.size() && tape.layers[layer].stack == this &&
         tape.layers[layer].step == step;
}

bool LayerStack::keeps_pass(const StackTape& tape, const BatchPlan& plan, int64_t layer) const {
  return !layers_[layer].has_gate() || tape.layers[layer].gate_pass == plan.gate_passes[layer];
}

void LayerStack::backward(const BatchPlan& plan, MatrixView gradients, StackTape& tape,
                          PhaseLog& log) {
  const MatrixView of_inputs = output_for(gradients);
  for (int64_t layer = std::ssize(layers_); layer-- > 0;) {
    backward_layer(plan, layer, gradients, of_inputs, tape, log);
    if (residual_) add_rows(of_inputs, gradients, options_.threads);
  }
}

void LayerStack::backward_layer(const BatchPlan& plan, int64_t layer, ConstMatrixView dy,
                                MatrixView dx, StackTape& tape, PhaseLog& log) {
  tape.layers[layer].stack = nullptr;
  layers_[layer].backward(plan.layers[layer], {dy, dx}, tape.layers[layer], backward_workspace_,
                          log);
}

GateLosses LayerStack::gate_losses(const BatchPlan& plan, const StackTape& tape,
                                   const Communicator& comm, Watch& watch) {
  GateLosses losses;
  const auto num_experts = static_cast<size_t>(config_.num_experts);
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    if (!layers_[layer].has_gate()) continue;
    FixedPointRows shares(1, config_.num_experts);
    FixedPointRows squares(1, 1);
    layers_[layer].add_gate_losses(plan.layers[layer], tape.layers[layer], shares, squares);
    sum_over_ranks(comm, watch, shares);
    sum_over_ranks(comm, watch, squares);
    std::vector<float> of_experts(num_experts);
    float square = 0.0f;
    shares.write(
        {reinterpret_cast<std::byte*>(of_experts.data()), DType::f32, 1, config_.num_experts}, 1);
    squares.write({reinterpret_cast<std::byte*>(&square), DType::f32, 1, 1}, 1);
    const auto counts = std::span(plan.expert_counts).subspan(layer * num_experts, num_experts);
    const auto all = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
    if (all == 0.0) continue;
    const double tokens = all / static_cast<double>(config_.top_k);
    for (size_t e = 0; e < num_experts; ++e) {
      losses.balance += static_cast<double>(config_.num_experts) *
                        (static_cast<double>(counts[e]) / all) *
                        (static_cast<double>(of_experts[e]) / tokens);
    }
    losses.z += static_cast<double>(square) / tokens;
  }
  return losses;
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

void LayerStack::step_gate_biases() {
  for (HostMoeLayer& layer : layers_) layer.step_gate_bias();
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
  layers_[index].prepare(plan.layers[index], place_of(plan, layer), workspace_);
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
                     workspace_.logits.capacity() +
                     static_cast<int64_t>(workspace_.weights.capacity() * sizeof(float)) +
                     backward_workspace_.bytes();
  return memory;
}

}  // namespace hashep
