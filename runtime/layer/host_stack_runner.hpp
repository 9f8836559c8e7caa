// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "runtime/layer/layer_stack.hpp"
#include "runtime/layer/stack_runner.hpp"

namespace hashep {

/// A stack on a CPU rank. A step is done when `run` returns.
class HostStackRunner final : public StackRunner {
 public:
  /// Reads this rank's weights. Local. Throws InputError as LayerStack.
  HostStackRunner(const ModelConfig& config, const WeightSource& weights,
                  std::span<const Placement> placements, int ep_rank, bool residual,
                  const ExecOptions& options, std::unique_ptr<Transport> transport);

  /// See LayerStack.
  void plan_gates_with(std::unique_ptr<LayerPlanner> planner) {
    gate_planner_ = std::move(planner);
    stack_.plan_gates_with(*gate_planner_);
  }
  std::string_view device() const override { return "cpu"; }
  std::optional<std::string> gpu() const override { return std::nullopt; }
  std::string_view transport() const override { return transport_->name(); }
  std::string_view implementation() const override { return stack_.implementation(); }
  /// See LayerStack. Before the first step. Local.
  void prepare_kernels(int64_t global_tokens) { stack_.prepare_kernels(global_tokens); }
  void set_input(ConstMatrixView x) override;
  void expect(const BatchPlan& plan) override { stack_.expect(plan); }
  void prepare(const BatchPlan& plan) override { stack_.prepare(plan); }
  void run(BatchPlan& plan, PhaseLog& log) override;
  void record(LayerStates* states) override { states_ = states; }
  void finish(PhaseLog&) override {}
  ConstMatrixView output() override { return state(); }
  RunnerMemory memory() const override;
  std::optional<StreamingStats> streaming() const override { return stack_.streaming(); }

 private:
  MatrixView state() { return state_.matrix(input_.dtype, input_.rows, input_.cols); }

  std::unique_ptr<Transport> transport_;
  std::unique_ptr<LayerPlanner> gate_planner_;
  LayerStack stack_;
  ConstMatrixView input_;  // borrowed
  Buffer state_;           // of the input's shape
  LayerStates* states_ = nullptr;
};

}  // namespace hashep
