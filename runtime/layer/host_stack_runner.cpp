// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/host_stack_runner.hpp"

#include <algorithm>

namespace hashep {

HostStackRunner::HostStackRunner(const ModelConfig& config, const WeightSource& weights,
                                 std::span<const Placement> placements, int ep_rank, bool residual,
                                 const ExecOptions& options, std::unique_ptr<Transport> transport)
    : transport_(std::move(transport)),
      stack_(config, weights, placements, ep_rank, residual, options, *transport_) {}

void HostStackRunner::set_input(ConstMatrixView x) {
  input_ = x;
  state_.reserve(x.bytes());
}

void HostStackRunner::run(BatchPlan& plan, PhaseLog& log) {
  std::copy_n(input_.data, input_.bytes(), state_.data());
  const PhaseLog::Scope scope(log, Phase::step);
  stack_.run(plan, state(), log, nullptr, states_);
}

RunnerMemory HostStackRunner::memory() const {
  const StackMemory stack = stack_.memory();
  return {.weights = stack.weights,
          .row_buffers = transport_->buffer_bytes(),
          .shared_rows = transport_->shared_bytes(),
          .workspace = stack.workspace + state_.capacity(),
          .scratch = stack.scratch,
          .plans = 0};
}

}  // namespace hashep
