// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <optional>

#include "comm/watch.hpp"
#include "core/cuda/device.hpp"
#include "runtime/layer/cuda/cuda_stack.hpp"
#include "runtime/layer/stack_runner.hpp"

namespace hashep {

/// A stack on this rank's GPU. A step computes while the host plans the next; the host waits,
/// under the deadline, for the step before the one that it has asked for.
class CudaStackRunner final : public StackRunner {
 public:
  /// Reads the weights to `gpu`, the calling thread's current one. Throws InputError on bad
  /// weights, RunError where the GPU refuses. `watch`, and what the transport refers to, must
  /// outlive the runner. `transport`: null where there is one rank.
  CudaStackRunner(const ModelConfig& config, const WeightSource& weights,
                  std::span<const Placement> placements, const CudaExecOptions& options,
                  const GpuInfo& gpu, std::unique_ptr<Transport> transport, Watch& watch);
  /// While an error unwinds, the GPU may not come back from what it was asked for: the policy of
  /// `watch` hears of the wait.
  ~CudaStackRunner() override;

  std::string_view device() const override { return "cuda"; }
  std::optional<std::string> gpu() const override { return gpu_.description; }
  std::string_view transport() const override { return stack_.transport().name(); }
  std::string_view implementation() const override { return stack_.implementation(); }
  void set_input(ConstMatrixView x) override { stack_.set_input(x); }
  void prepare(const BatchPlan& plan) override;
  void run(BatchPlan& plan, PhaseLog& log) override;
  void finish(PhaseLog& log) override;
  ConstMatrixView output() override;
  RunnerMemory memory() const override;

 private:
  /// A step that was asked for.
  struct Asked {
    int64_t step = 0;
    int64_t asked_ns = 0;  // on the log's clock
  };

  /// Waits for the oldest step and logs its phases.
  void settle(PhaseLog& log);
  template <typename Ready>
  void wait_until(Ready&& ready, int64_t step);

  Watch& watch_;
  GpuInfo gpu_;
  std::optional<BlockingCallScope> last_wait_;  // outlives the stack
  CudaStack stack_;
  std::deque<Asked> asked_;
  int64_t settled_ns_ = 0;  // when the newest step settled ended
};

}  // namespace hashep
