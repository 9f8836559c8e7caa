// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "benchmarks/inline_planner.hpp"
#include "benchmarks/phase_samples.hpp"
#include "benchmarks/plan_when.hpp"
#include "benchmarks/workload.hpp"
#include "runtime/layer/layer_stack.hpp"

namespace hashep::bench {

/// What steps work on, each [tokens, hidden_size].
struct StepRows {
  ConstMatrixView input;
  MatrixView state;   // the result
  MatrixView output;  // of a layer, where there are several
};

/// Steps of a layer stack, batch after batch, planned in one of the ways: state <- layer(input)
/// where there is one layer, and x <- x + layer(x) in each where there are several, x being the
/// input at first.
class LayerSteps {
 public:
  /// Collective. References, and what `ranks` refers to, must outlive the steps. `threads`: of this
  /// rank. has_gates: layers choose experts by a gate, whatever the workload's ids.
  LayerSteps(PlanWhen when, const Workload& workload, const BatchSplit& split, LayerStack& stack,
             const StepRows& rows, int threads, bool has_gates, const JobRanks& ranks);
  LayerSteps(const LayerSteps&) = delete;  // planners are not copied
  LayerSteps& operator=(const LayerSteps&) = delete;

  PlanWhen when() const { return when_; }

  /// Untimed, before each sample: with PlanWhen::at_hand the sample's plans. Collective.
  void begin_sample();
  /// The next batch: all that a rank does from one batch to the next. With PlanWhen::at_hand the
  /// batch of the sample, again and again. Collective.
  void run();
  /// Batches to come add their input and what each layer leaves to `states`; null: no more.
  void record(LayerStates* states) { states_ = states; }
  /// After the last sample. Local.
  void end_samples() { phases_.close(); }
  /// Ends the exchange for a batch that is not run. Collective.
  void finish();

  /// Of the newest batch, until the next is run.
  const BatchPlan& plan() const { return *plan_; }
  /// What the phase took on this rank in each of the newest `count` samples (see PhaseSamples).
  std::vector<double> newest(Phase phase, int64_t count) const {
    return phases_.newest(phase, count);
  }

 private:
  /// Makes the next batch's plans, by an exchange begun with the batch before it.
  void take_next_plan();
  void run_layer(int64_t layer);
  /// The next batch of a stack with gates, which plans by itself.
  void start_gated();

  PlanWhen when_;
  LayerStack& stack_;
  StepRows rows_;
  int threads_;
  int64_t num_layers_;
  PhaseSamples phases_;
  std::optional<StreamPlanner> ahead_;
  std::optional<InlinePlanner> in_layer_;
  std::optional<LayerPlanner> gates_;  // of a stack with gates
  BatchPlan gated_plan_;
  const BatchPlan* plan_ = nullptr;
  LayerStates* states_ = nullptr;
};

}  // namespace hashep::bench
