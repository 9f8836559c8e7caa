// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "hashep/batch_plan.hpp"
#include "hashep/gate.hpp"
#include "runtime/layer/host_moe_layer.hpp"
#include "runtime/layer/layer_planner.hpp"
#include "runtime/layer/layer_states.hpp"

namespace hashep {

/// Memory of a stack on this rank, in bytes.
struct StackMemory {
  int64_t weights = 0;    // packed, held once; where they are trained, parameters and gradients too
  int64_t scratch = 0;    // of the experts' tiles
  int64_t workspace = 0;  // layer output, shared experts' output, weights per choice, backward's
};

/// L MoE layers, one after the other, on one rank: x <- x + layer(x), or x <- layer(x).
class LayerStack {
 public:
  LayerStack(const LayerStack&) = delete;  // its layers refer to its experts
  LayerStack& operator=(const LayerStack&) = delete;

  /// Reads this rank's weights. `transport` must outlive the stack. Local.
  LayerStack(const ModelConfig& config, const WeightSource& weights,
             std::span<const Placement> placements, int ep_rank, bool residual,
             const ExecOptions& options, Transport& transport);

  /// Plans layers with a gate when they are reached; needed where there are any, before the first
  /// run. It must outlive the stack's runs. Local.
  void plan_gates_with(LayerPlanner& planner) { gate_planner_ = &planner; }

  /// Makes all ready for `run` with these plans, of layers that are planned. Ahead of the step.
  /// Collective.
  void prepare(const BatchPlan& plan);

  /// This batch will be run after those that were expected before: see HostExperts. Local.
  void expect(const BatchPlan& plan) { experts_->expect(plan); }

  /// Makes the kernels of all experts that a batch of so many tokens over all ranks can need, so
  /// that no step waits for one to be made. Local.
  void prepare_kernels(int64_t global_tokens);

  /// One step. x: [tokens, hidden_size], in place. Keeps in `tape`, unless null, what backward
  /// needs. Adds to `states`, unless null, what goes in and what each layer leaves; else allocates
  /// nothing, where all layers were planned ahead. Collective.
  void run(BatchPlan& plan, MatrixView x, PhaseLog& log, StackTape* tape = nullptr,
           LayerStates* states = nullptr);
  /// One layer by itself, planned here where it has a gate: y <- layer(x), both [tokens,
  /// hidden_size]; y may be x. Collective.
  void forward_layer(BatchPlan& plan, int64_t layer, ConstMatrixView x, MatrixView y, PhaseLog& log,
                     StackTape* tape = nullptr);

  // Of stacks that are trained (ExecOptions::training).

  /// What a tape takes for this batch, all of whose layers are planned. Local.
  int64_t tape_bytes(const BatchPlan& plan) const;
  /// Makes room in a tape, ahead of the step, for layers that are planned, in place of what it kept
  /// of another batch. Local.
  void prepare_tape(const BatchPlan& plan, StackTape& tape) const;
  /// Whether a tape keeps what forward of a layer has left of a batch. Local.
  bool keeps(const StackTape& tape, int64_t step, int64_t layer) const;
  /// Whether that was the forward that the layer's plan is of: with a gate each makes another one.
  /// Local.
  bool keeps_pass(const StackTape& tape, const BatchPlan& plan, int64_t layer) const;
  /// The way back: `gradients` comes as that of what `run` left, goes as that of what it was given.
  /// Adds to the gradients of parameters. Uses the tape up. `prepare` was last called with this
  /// plan. Collective.
  void backward(const BatchPlan& plan, MatrixView gradients, StackTape& tape, PhaseLog& log);
  /// The same of one layer: dx <- the gradient of forward_layer's x, dy being that of its y.
  void backward_layer(const BatchPlan& plan, int64_t layer, ConstMatrixView dy, MatrixView dx,
                      StackTape& tape, PhaseLog& log);
  /// What the gates' losses are for a batch whose forward has filled `tape`: the same on all ranks.
  /// Collective.
  GateLosses gate_losses(const BatchPlan& plan, const StackTape& tape, const Communicator& comm,
                         Watch& watch);

  /// All parameters of this rank, layer by layer. Valid as long as the stack. Local.
  std::vector<Parameter> parameters();
  /// Adds to the gradients of what all ranks hold what their batches have left since the last call:
  /// the same on all ranks. Collective.
  void sum_gradients(const Communicator& comm, Watch& watch);
  /// Sets all gradients to zero. Local.
  void clear_gradients();
  /// To be called when parameters have changed: rounds and packs them. Local.
  void pack();
  /// Calls change(parameters) with those of each FFN and each gate, in the order of `parameters`,
  /// and packs what it leaves while that is in the caches. Local.
  void update(const std::function<void(std::span<const Parameter>)>& change);
  /// Moves the gates' biases: TrainingOptions::bias_step. Before `update`. Local.
  void step_gate_biases();
  /// Whether gradients are made of what all ranks hold, in gradient blocks.
  bool has_gradient_blocks() const;

  /// `prepare` for one layer: for one whose plan comes when the layers before it have run.
  /// Collective.
  void prepare_layer(const BatchPlan& plan, int64_t layer);
  /// forward_layer of one that is planned and prepared. Collective.
  void run_layer(const BatchPlan& plan, int64_t layer, ConstMatrixView x, MatrixView y,
                 PhaseLog& log);

  /// Frees the experts, which most of the memory goes to; nothing can be run then. For who keeps
  /// the rest, as an exchange that was given up may still use it.
  void drop_experts() { experts_.reset(); }

  StackMemory memory() const;
  /// See HostExperts.
  std::optional<StreamingStats> streaming() const { return experts_->streaming(); }
  /// What the experts' GEMMs run on, one line.
  std::string_view implementation() const { return experts_->implementation(); }

 private:
  void pass_layer(BatchPlan& plan, int64_t layer, ConstMatrixView x, MatrixView y, PhaseLog& log,
                  StackTape* tape);
  void plan_gate(BatchPlan& plan, int64_t layer, ConstMatrixView x, LayerTape* tape, PhaseLog& log);
  TapeSizes tape_sizes(int64_t layer) const;
  /// Room for a layer's output, where it is added to its input.
  MatrixView output_for(MatrixView x) {
    return residual_ ? output_.matrix(x.dtype, x.rows, x.cols) : x;
  }

  ModelConfig config_;
  bool residual_;
  ExecOptions options_;
  Transport& transport_;
  std::unique_ptr<HostExperts> experts_;  // none once they were dropped
  std::vector<HostMoeLayer> layers_;
  LayerPlanner* gate_planner_ = nullptr;
  int64_t gate_passes_ = 0;
  LayerWorkspace workspace_;
  Buffer output_;  // [tokens, hidden_size], with residual
  BackwardWorkspace backward_workspace_;
};

}  // namespace hashep
