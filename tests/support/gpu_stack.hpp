// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/layer/cuda/cuda_stack.hpp"
#include "runtime/layer/oracle_check.hpp"
#include "tests/support/stack_case.hpp"

namespace hashep::test {

/// All that some steps of a case need, for a stack on one rank's device.
class StackSteps {
 public:
  /// Plans of rank `ep_rank` of those on `nodes`, made without an exchange.
  StackSteps(const StackCase& c, int64_t steps, const NodeMap& nodes = one_node(1),
             int ep_rank = 0);

  const StackCase& stack_case() const { return case_; }
  const ModelConfig& config() const { return case_.config; }
  std::span<const Placement> placements() const { return routing_.geometry.placements(); }
  const WeightSource& weights() const { return *weights_; }
  const BatchPlan& plan(int64_t step) const { return plans_[step]; }
  int64_t steps() const { return std::ssize(plans_); }
  ConstMatrixView input() const;

  /// How far `got` is from this rank's hidden states after a step by the naive oracle.
  OracleDifference difference(const std::vector<float>& got, int64_t step,
                              GemmGrouping grouping = GemmGrouping::per_expert) const;

 private:
  StackCase case_;
  Range rows_;  // of the global batch
  CaseRouting routing_;
  std::unique_ptr<WeightSource> weights_;
  std::vector<BatchPlan> plans_;
  std::vector<std::byte> input_;
};

/// Options for a case.
CudaExecOptions gpu_options(const StackCase& c);

/// A case with all that a layer can have.
StackCase full_case();

/// Brings the result of the last step to the host, as floats. Waits by polling.
std::vector<float> fetch_result(CudaStack& stack);
/// Polls until a step is done; fails where that takes more than a minute.
void wait_for_step(const CudaStack& stack, int64_t step);

}  // namespace hashep::test
