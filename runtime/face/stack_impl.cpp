// SPDX-License-Identifier: Apache-2.0
#include "runtime/face/stack_impl.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>

#include "comm/agreement.hpp"
#include "comm/keep_until_exit.hpp"
#include "comm/plan/placement_digest.hpp"
#include "core/setting.hpp"
#include "hashep/error.hpp"
#include "runtime/layer/backend_factory.hpp"
#include "runtime/layer/weight_agreement.hpp"
#include "runtime/routing/no_router.hpp"

namespace hashep {
namespace {

constexpr int kMaxPlanningDepth = 1024;

/// A number with all its digits, so that any difference between ranks shows.
std::string exact(float value) {
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

std::string shape_text(const StackShape& shape) {
  return std::to_string(shape.num_layers) + " layers, d " + std::to_string(shape.hidden_size) +
         ", f " + std::to_string(shape.ffn_size) + ", " + std::to_string(shape.num_experts) +
         " experts, top " + std::to_string(shape.top_k) + ", " +
         std::to_string(shape.num_shared_experts) + " shared, " +
         std::string(activation_name(shape.activation)) + ", limit " + exact(shape.swiglu_limit) +
         ", " + std::string(score_name(shape.score)) + " times " +
         exact(shape.routed_scaling_factor) +
         (shape.gate ? ", " + std::string(gate_kind_name(shape.gate->kind)) + " from layer " +
                           std::to_string(shape.gate->first_layer)
                     : "");
}

std::string options_text(const StackOptions& options) {
  const auto word = [](bool value) { return value ? " on" : " off"; };
  return std::string(dtype_name(options.dtype)) + ", residual" + word(options.residual) +
         ", node_reduce" + word(options.node_reduce) + ", overlap" + word(options.overlap) +
         ", check_finite" + word(options.check_finite) + ", planning_depth " +
         std::to_string(options.planning_depth) + ", expected_tokens " +
         std::to_string(options.expected_tokens) +
         (options.training
              ? ", trained in blocks of " + std::to_string(options.training->gradient_block) +
                    " tokens" + ", recompute" + word(options.training->recompute) +
                    ", balance_loss " + exact(options.training->balance_loss) + ", z_loss " +
                    exact(options.training->z_loss) + ", bias_step " +
                    exact(options.training->bias_step)
              : ", not trained");
}

int64_t layers_with_gate(const StackShape& shape) {
  return shape.gate ? shape.num_layers - shape.gate->first_layer : 0;
}

void require_training(const TrainingOptions& training, const StackShape& shape) {
  if (training.gradient_block < 1) {
    throw InputError("gradient_block: " + std::to_string(training.gradient_block) + " is below 1");
  }
  const auto require_factor = [&](const char* name, float value, bool has_use) {
    if (!std::isfinite(value) || value < 0.0f) {
      throw InputError(setting(name) + ": " + exact(value) + " is not at least 0");
    }
    if (value > 0.0f && !has_use) {
      throw InputError(setting(name) + ": the layers have no gate that it is for");
    }
  };
  require_factor("balance_loss", training.balance_loss, shape.gate.has_value());
  require_factor("z_loss", training.z_loss, shape.gate.has_value());
  require_factor("bias_step", training.bias_step,
                 shape.gate && shape.gate->kind == GateKind::noaux_tc);
}

std::string digest_text(uint64_t digest) {
  return "digest " + std::to_string(digest);
}

/// One placement for each layer.
std::vector<Placement> placements_of(const std::vector<Placement>& given, const StackShape& shape,
                                     int ep_size) {
  const auto num_layers = static_cast<size_t>(shape.num_layers);
  if (given.size() > 1 && given.size() != num_layers) {
    throw InputError("placements: " + std::to_string(given.size()) + " were given for " +
                     std::to_string(num_layers) + " layers");
  }
  for (const Placement& placement : given) {
    if (placement.num_experts() == shape.num_experts && placement.ep_size() == ep_size) continue;
    throw InputError("placements: one is of " + std::to_string(placement.num_experts()) +
                     " experts on " + std::to_string(placement.ep_size()) +
                     " ranks, the stack has " + std::to_string(shape.num_experts) + " experts on " +
                     std::to_string(ep_size) + " ranks");
  }
  if (given.size() == num_layers) return given;
  return std::vector<Placement>(
      num_layers, given.empty() ? contiguous_placement(shape.num_experts, ep_size) : given.front());
}

}  // namespace

Stack::Impl::Impl(std::shared_ptr<Context::Impl> context, const StackShape& shape,
                  std::shared_ptr<const Router> router, const WeightSource& weights,
                  StackOptions options)
    : context_(std::move(context)),
      shape_(shape),
      options_(std::move(options)),
      router_(std::move(router)),
      log_(&context_->watch(), 1, false) {
  Watch& watch = context_->watch();
  watch.at({Phase::setup, -1, -1});
  watch.allow_setup(context_->options().setup_deadline.count());
  require_valid_input(weights);
  transport_ = make_transport(context_->options().transport, context_->comm(), context_->topology(),
                              watch, context_->options().threads);
  const bool knows_nodes = transport_->name() == "hier";
  geometry_.emplace(options_.placements, shape_.top_k,
                    knows_nodes ? std::optional(context_->topology().nodes) : std::nullopt,
                    knows_nodes && options_.node_reduce, layers_with_gate(shape_));
  read_weights(weights);
  const JobRanks ranks{context_->comm(), context_->topology(), watch};
  if (layers_with_gate(shape_) > 0) {
    gate_planner_ = std::make_unique<LayerPlanner>(*geometry_, ranks);
    layers_->plan_gates_with(*gate_planner_);
  }
  planner_ = std::make_unique<Planner>(*geometry_, *router_, ranks, options_.planning_depth);
}

void Stack::Impl::require_valid_input(const WeightSource& weights) {
  const Communicator& comm = context_->comm();
  agree(comm, context_->watch(), [&] {
    validate_shape(shape_, "stack");
    if (options_.dtype != DType::f32 && options_.dtype != DType::bf16) {
      throw InputError("dtype: " + std::string(dtype_name(options_.dtype)) +
                       " is neither fp32 nor bf16");
    }
    if (options_.planning_depth < 1 || options_.planning_depth > kMaxPlanningDepth) {
      throw InputError("planning_depth: " + std::to_string(options_.planning_depth) +
                       " is not in [1, " + std::to_string(kMaxPlanningDepth) + "]");
    }
    if (options_.expected_tokens < 0) throw InputError("expected_tokens: is negative");
    if (options_.weight_memory < 0) {
      throw InputError(setting("weight_memory") + ": " + std::to_string(options_.weight_memory) +
                       " is below 0");
    }
    if (options_.training) {
      require_training(*options_.training, shape_);
      if (options_.weight_form == WeightForm::packed) {
        throw InputError(setting("weight_form") + ": weights that are trained are not packed");
      }
      if (options_.weight_memory != 0) {
        throw InputError(setting("weight_memory") + ": weights that are trained are not streamed");
      }
    }
    options_.placements = placements_of(options_.placements, shape_, comm.size());
    const int64_t routed = shape_.num_routed_layers();
    if (router_ == nullptr && routed > 0) throw InputError("a Stack without a router");
    if (router_ != nullptr && routed == 0) {
      throw InputError("a router for a Stack that has no layer to be routed ahead");
    }
    if (router_ == nullptr) router_ = std::make_shared<NoRouter>();
    for (int64_t layer = 0; layer < routed; ++layer) {
      router_->route({}, {layer, shape_.num_experts, shape_.top_k}, {});
    }
  });
  require_same_settings(comm, context_->watch(),
                        {{"the stack's shape", shape_text(shape_)},
                         {"the stack's options", options_text(options_)},
                         {"the placements", digest_text(placement_digest(options_.placements))},
                         {"the router", digest_text(router_->digest())},
                         {"the weights' shapes", digest_text(weights.shape_digest())}});
}

void Stack::Impl::read_weights(const WeightSource& weights) {
  const Communicator& comm = context_->comm();
  Watch& watch = context_->watch();
  const ModelConfig config = config_of_shape(shape_);
  WeightDigests digests;
  digests.layers.resize(shape_.num_layers);
  agree(comm, watch, [&] {
    layers_ = std::make_unique<LayerStack>(config, weights, options_.placements, comm.rank(),
                                           options_.residual,
                                           ExecOptions{.dtype = options_.dtype,
                                                       .threads = context_->options().threads,
                                                       .overlap = options_.overlap,
                                                       .check_finite = options_.check_finite,
                                                       .digests = &digests,
                                                       .watch = &watch,
                                                       .gemm_library = options_.gemm_library,
                                                       .weight_form = options_.weight_form,
                                                       .weight_memory = options_.weight_memory,
                                                       .training = options_.training},
                                           *transport_);
    if (options_.expected_tokens > 0) layers_->prepare_kernels(options_.expected_tokens);
  });
  require_same_settings(comm, watch, weight_settings(config, digests));
  require_same_experts(comm, watch, weights, options_.placements, context_->topology().nodes,
                       digests);
}

Stack::Impl::~Impl() {
  const UnwindsAloneScope leaving(is_abandoned_ || !context_->all_drop());
  if (is_abandoned_ || !context_->is_in_step()) {
    // MPI may still use what an exchange that was given up moves: plans, rows, and where they go.
    planner_->end_exchanges();
    layers_->drop_experts();
    keep_until_exit(std::move(planner_));
    keep_until_exit(std::move(gate_planner_));
    keep_until_exit(std::move(layers_));
    keep_until_exit(std::move(transport_));
    if (is_abandoned_) keep_until_exit(context_);  // whose end waits for others too
  }
  planner_.reset();
  layers_.reset();
  gate_planner_.reset();
  transport_.reset();
}

Ticket Stack::Impl::submit(const TokenBatch& tokens) {
  return context_->in_step([&] {
    const PhaseLog::Scope scope(log_, Phase::route);
    return planner_->submit(tokens);
  });
}

Ticket Stack::Impl::submit_all(std::span<const TokenBatch> by_rank) {
  if (std::ssize(by_rank) != context_->comm().size()) {
    throw InputError("tokens of " + std::to_string(by_rank.size()) + " ranks for " +
                     std::to_string(context_->comm().size()));
  }
  return context_->in_step([&] {
    const PhaseLog::Scope scope(log_, Phase::route);
    return planner_->submit_all(by_rank);
  });
}

BatchPlan& Stack::Impl::wait(Ticket ticket) {
  const PhaseLog::Scope scope(log_, Phase::plan);
  return planner_->wait(ticket);
}

void Stack::Impl::require_layer(int64_t layer) const {
  if (layer >= 0 && layer < shape_.num_layers) return;
  throw InputError("layer " + std::to_string(layer) + " is not in [0, " +
                   std::to_string(shape_.num_layers) + ")");
}

const ExchangePlan& Stack::Impl::plan(Ticket ticket, int64_t layer) {
  require_layer(layer);
  const ExchangePlan& plan =
      context_->in_step([&]() -> const ExchangePlan& { return wait(ticket).layers[layer]; });
  if (!plan.is_planned()) {
    throw InputError("layer " + std::to_string(layer) +
                     " has a gate: its plan is there once forward has run");
  }
  return plan;
}

void Stack::Impl::require_matrix(const char* name, ConstMatrixView matrix, int64_t tokens) const {
  if (matrix.rows == tokens && matrix.cols == shape_.hidden_size &&
      matrix.dtype == options_.dtype && (matrix.data != nullptr || tokens == 0)) {
    return;
  }
  throw InputError(std::string(name) + " is [" + std::to_string(matrix.rows) + ", " +
                   std::to_string(matrix.cols) + "] in " + std::string(dtype_name(matrix.dtype)) +
                   (matrix.data == nullptr ? ", null" : "") + ", the batch needs [" +
                   std::to_string(tokens) + ", " + std::to_string(shape_.hidden_size) + "] in " +
                   std::string(dtype_name(options_.dtype)));
}

void Stack::Impl::forward(Ticket ticket, int64_t tokens, ConstMatrixView x, MatrixView y) {
  require_matrix("x", x, tokens);
  require_matrix("y", y, tokens);
  context_->in_step([&] {
    log_.set_step(ticket.step);
    BatchPlan& plan = wait(ticket);
    layers_->prepare(plan);
    if (x.data != y.data) std::copy_n(x.data, x.bytes(), y.data);
    layers_->run(plan, y, log_);
  });
}

LayerStack& Stack::Impl::trained_layers() {
  if (!options_.training) throw InputError("a Stack without StackOptions::training is not trained");
  return *layers_;
}

void Stack::Impl::prepare_tape(const BatchPlan& plan, StackTape& tape) {
  if (layers_->has_gradient_blocks() &&
      plan.token_granule % options_.training->gradient_block != 0) {
    throw CollectiveInputError(
        "gradient_block: of ranks' parts of the batch one begins inside of a block of " +
            std::to_string(options_.training->gradient_block) + " tokens",
        rank() == 0);
  }
  layers_->prepare_tape(plan, tape);
}

void Stack::Impl::forward(Ticket ticket, int64_t tokens, ConstMatrixView x, MatrixView y,
                          StackTape& tape) {
  LayerStack& layers = trained_layers();
  require_matrix("x", x, tokens);
  require_matrix("y", y, tokens);
  context_->in_step([&] {
    log_.set_step(ticket.step);
    BatchPlan& plan = wait(ticket);
    prepare_tape(plan, tape);
    layers.prepare(plan);
    if (x.data != y.data) std::copy_n(x.data, x.bytes(), y.data);
    layers.run(plan, y, log_, &tape);
  });
}

void Stack::Impl::forward_layer(Ticket ticket, int64_t tokens, int64_t layer, ConstMatrixView x,
                                MatrixView y, StackTape* tape) {
  if (tape != nullptr) trained_layers();
  require_layer(layer);
  require_matrix("x", x, tokens);
  require_matrix("y", y, tokens);
  context_->in_step([&] {
    log_.set_step(ticket.step);
    BatchPlan& plan = wait(ticket);
    if (tape != nullptr) prepare_tape(plan, *tape);
    if (plan.layers[layer].is_planned()) layers_->prepare_layer(plan, layer);
    layers_->forward_layer(plan, layer, x, y, log_, tape);
  });
}

void Stack::Impl::require_kept(Ticket ticket, const StackTape& tape, const Range& layers) {
  constexpr const char* kNotKept =
      "a tape that was not filled by forward of this batch, or was used up";
  for (int64_t layer = layers.begin; layer < layers.end; ++layer) {
    if (!layers_->keeps(tape, ticket.step, layer)) throw InputError(kNotKept);
  }
  // Forward has run, so that nothing is waited for.
  const BatchPlan& plan = planner_->wait(ticket);
  for (int64_t layer = layers.begin; layer < layers.end; ++layer) {
    if (!layers_->keeps_pass(tape, plan, layer)) throw InputError(kNotKept);
  }
}

void Stack::Impl::backward(Ticket ticket, int64_t tokens, StackTape& tape, ConstMatrixView dy,
                           MatrixView dx) {
  LayerStack& layers = trained_layers();
  require_matrix("dy", dy, tokens);
  require_matrix("dx", dx, tokens);
  require_kept(ticket, tape, {0, shape_.num_layers});
  context_->in_step([&] {
    log_.set_step(ticket.step);
    const BatchPlan& plan = wait(ticket);
    layers.prepare(plan);
    if (dy.data != dx.data) std::copy_n(dy.data, dy.bytes(), dx.data);
    layers.backward(plan, dx, tape, log_);
  });
}

void Stack::Impl::backward_layer(Ticket ticket, int64_t tokens, int64_t layer, StackTape& tape,
                                 ConstMatrixView dy, MatrixView dx) {
  LayerStack& layers = trained_layers();
  require_layer(layer);
  require_matrix("dy", dy, tokens);
  require_matrix("dx", dx, tokens);
  require_kept(ticket, tape, {layer, layer + 1});
  context_->in_step([&] {
    log_.set_step(ticket.step);
    const BatchPlan& plan = wait(ticket);
    layers.prepare_layer(plan, layer);
    layers.backward_layer(plan, layer, dy, dx, tape, log_);
  });
}

GateLosses Stack::Impl::gate_losses(Ticket ticket, const StackTape& tape) {
  LayerStack& layers = trained_layers();
  if (!shape_.gate) throw InputError("gate_losses of a Stack without a gate");
  require_kept(ticket, tape, {shape_.gate->first_layer, shape_.num_layers});
  return context_->in_step(
      [&] { return layers.gate_losses(wait(ticket), tape, context_->comm(), context_->watch()); });
}

int64_t Stack::Impl::tape_bytes(Ticket ticket) {
  LayerStack& layers = trained_layers();
  const BatchPlan& plan = context_->in_step([&]() -> const BatchPlan& { return wait(ticket); });
  if (!std::ranges::all_of(plan.layers, &ExchangePlan::is_planned)) {
    throw InputError("a tape of a Stack with a gate has a size once forward has run");
  }
  return layers.tape_bytes(plan);
}

void Stack::Impl::sum_gradients() {
  LayerStack& layers = trained_layers();
  context_->in_step([&] {
    const PhaseLog::Scope scope(log_, Phase::sum_gradients);
    layers.sum_gradients(context_->comm(), context_->watch());
  });
}

StackBytes Stack::Impl::memory() const {
  const StackMemory layers = layers_->memory();
  return {.weights = layers.weights,
          .row_buffers = transport_->buffer_bytes(),
          .shared_rows = transport_->shared_bytes(),
          .workspace = layers.workspace,
          .scratch = layers.scratch};
}

}  // namespace hashep
