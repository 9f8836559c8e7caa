// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/layer_steps.hpp"

#include "kernels/rows/combine.hpp"

namespace hashep::bench {
namespace {

constexpr int64_t kMostBatches = 64;  // of a sample, as the longest burst
constexpr int64_t kMostScopes = 2;    // of one phase, for each layer

}  // namespace

LayerSteps::LayerSteps(PlanWhen when, const Workload& workload, const BatchSplit& split,
                       LayerStack& stack, const StepRows& rows, int threads, bool has_gates,
                       const JobRanks& ranks)
    : when_(when),
      stack_(stack),
      rows_(rows),
      threads_(threads),
      num_layers_(workload.num_layers()),
      phases_(ranks.watch, kMostBatches * kMostScopes * (num_layers_ + 1)) {
  if (has_gates) {
    gates_.emplace(workload.geometry(), ranks);
    stack.plan_gates_with(*gates_);
    plan_ = &gated_plan_;
  } else if (when == PlanWhen::in_layer) {
    in_layer_.emplace(workload, split, ranks);
    plan_ = &in_layer_->plan();
  } else {
    ahead_.emplace(workload.planner(split, ranks, phases_.log()));
    ahead_->begin();
  }
}

void LayerSteps::take_next_plan() {
  PhaseLog& log = phases_.log();
  plan_ = &ahead_->take();
  {
    const PhaseLog::Scope scope(log, Phase::plan);
    stack_.prepare(*plan_);
  }
  log.set_step(plan_->step);
  ahead_->begin();
}

void LayerSteps::begin_sample() {
  phases_.close();
  if (when_ != PlanWhen::at_hand) return;
  take_next_plan();
  phases_.log().clear();
}

void LayerSteps::run() {
  PhaseLog& log = phases_.log();
  if (when_ == PlanWhen::ahead) take_next_plan();
  if (gates_) start_gated();
  if (in_layer_) in_layer_->start(log);
  if (states_ != nullptr) states_->add(rows_.input);
  for (int64_t layer = 0; layer < num_layers_; ++layer) {
    if (in_layer_) {
      in_layer_->plan_layer(layer, log);
      const PhaseLog::Scope scope(log, Phase::plan, layer);
      stack_.prepare_layer(*plan_, layer);
    }
    run_layer(layer);
    if (states_ != nullptr) states_->add(rows_.state);
  }
  phases_.count_batch();
}

void LayerSteps::start_gated() {
  ++gated_plan_.step;
  gated_plan_.tokens = rows_.input.rows;
  phases_.log().set_step(gated_plan_.step);
}

void LayerSteps::run_layer(int64_t layer) {
  const bool first = layer == 0;
  const ConstMatrixView from = first ? rows_.input : ConstMatrixView(rows_.state);
  const MatrixView to = first ? rows_.state : rows_.output;
  if (gates_) {
    stack_.forward_layer(gated_plan_, layer, from, to, phases_.log());
  } else {
    stack_.run_layer(*plan_, layer, from, to, phases_.log());
  }
  if (num_layers_ == 1) return;
  add_rows(first ? rows_.input : ConstMatrixView(rows_.output), rows_.state, threads_);
}

void LayerSteps::finish() {
  if (ahead_) ahead_->take();
}

}  // namespace hashep::bench
