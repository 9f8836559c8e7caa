// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "hashep/split.hpp"
#include "hashep/stack.hpp"
#include "runtime/face/context_impl.hpp"
#include "runtime/layer/layer_planner.hpp"
#include "runtime/layer/layer_stack.hpp"
#include "runtime/layer/planner.hpp"

namespace hashep {

/// What a Stack is made of. Calls are as in Stack.
class Stack::Impl {
 public:
  Impl(std::shared_ptr<Context::Impl> context, const StackShape& shape,
       std::shared_ptr<const Router> router, const WeightSource& weights, StackOptions options);
  Impl(std::shared_ptr<Context::Impl> context, const Model& model, StackOptions options)
      : Impl(std::move(context), model.shape, model.router, *model.weights, std::move(options)) {}
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Ticket submit(const TokenBatch& tokens);
  Ticket submit_all(std::span<const TokenBatch> by_rank);
  void release(Ticket ticket) { planner_->release(ticket); }
  void forward(Ticket ticket, int64_t tokens, ConstMatrixView x, MatrixView y);
  const ExchangePlan& plan(Ticket ticket, int64_t layer);

  void forward(Ticket ticket, int64_t tokens, ConstMatrixView x, MatrixView y, StackTape& tape);
  void backward(Ticket ticket, int64_t tokens, StackTape& tape, ConstMatrixView dy, MatrixView dx);
  void forward_layer(Ticket ticket, int64_t tokens, int64_t layer, ConstMatrixView x, MatrixView y,
                     StackTape* tape);
  void backward_layer(Ticket ticket, int64_t tokens, int64_t layer, StackTape& tape,
                      ConstMatrixView dy, MatrixView dx);
  GateLosses gate_losses(Ticket ticket, const StackTape& tape);
  int64_t tape_bytes(Ticket ticket);
  void sum_gradients();
  /// Throws InputError where the stack is not trained.
  LayerStack& trained_layers();

  /// See Stack::abandon: for its end, which is to follow.
  void abandon() noexcept { is_abandoned_ = true; }

  /// With options in place of what 0 and `automatic` stand for.
  Context::Impl& context() { return *context_; }

  int rank() const { return context_->comm().rank(); }
  const StackShape& shape() const { return shape_; }
  const Router& router() const { return *router_; }
  const StackOptions& options() const { return options_; }
  std::string_view transport() const { return transport_->name(); }
  std::string_view implementation() const { return layers_->implementation(); }
  StackBytes memory() const;

 private:
  void require_valid_input(const WeightSource& weights);
  void read_weights(const WeightSource& weights);
  BatchPlan& wait(Ticket ticket);
  void require_layer(int64_t layer) const;
  /// Throws InputError unless `tape` keeps what the last forward of these layers has left.
  void require_kept(Ticket ticket, const StackTape& tape, const Range& layers);
  /// Makes room in it for a batch. Throws on all ranks where their parts do not begin at blocks.
  void prepare_tape(const BatchPlan& plan, StackTape& tape);
  void require_matrix(const char* name, ConstMatrixView matrix, int64_t tokens) const;

  std::shared_ptr<Context::Impl> context_;
  StackShape shape_;
  StackOptions options_;
  std::shared_ptr<const Router> router_;
  PhaseLog log_;
  std::unique_ptr<Transport> transport_;
  std::optional<StackGeometry> geometry_;
  std::unique_ptr<LayerPlanner> gate_planner_;  // where there are gates
  std::unique_ptr<LayerStack> layers_;
  std::unique_ptr<Planner> planner_;
  bool is_abandoned_ = false;
};

}  // namespace hashep
