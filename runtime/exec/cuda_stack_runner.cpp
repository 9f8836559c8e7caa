// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/cuda_stack_runner.hpp"

#include <algorithm>
#include <cmath>

namespace hashep {
namespace {

constexpr int kSpins = 4096;  // polls of the GPU before the core is yielded between them
constexpr size_t kAhead = 2;  // steps that may be asked for and not settled

}  // namespace

CudaStackRunner::CudaStackRunner(const ModelConfig& config, const WeightSource& weights,
                                 std::span<const Placement> placements, int gpu,
                                 const CudaExecOptions& options, Watch& watch)
    : watch_(watch), gpu_(use_gpu(gpu)), stack_(config, weights, placements, 0, options) {}

template <typename Ready>
void CudaStackRunner::wait_until(Ready&& ready, int64_t step) {
  watch_.at({Phase::step, step, -1});
  watch_.wait_until(kSpins, ready, [&] { return " for " + gpu_.name; });
}

void CudaStackRunner::prepare(const BatchPlan& plan) {
  stack_.prepare(plan);
}

void CudaStackRunner::run(const BatchPlan& plan, PhaseLog& log) {
  asked_.push_back({plan.step, log.now_ns()});
  stack_.run(plan.step);
  while (asked_.size() >= kAhead) settle(log);
}

void CudaStackRunner::finish(PhaseLog& log) {
  while (!asked_.empty()) settle(log);
}

void CudaStackRunner::settle(PhaseLog& log) {
  const Asked oldest = asked_.front();
  wait_until([&] { return stack_.is_done(oldest.step); }, oldest.step);
  asked_.pop_front();
  // The GPU began the step when it was asked to, or when it was done with the one before.
  const int64_t begin_ns = std::max(oldest.asked_ns, settled_ns_);
  for (const PhaseSpan& span : stack_.phases(oldest.step)) {
    const auto at = [&](double us) -> int64_t { return begin_ns + std::llround(1e3 * us); };
    log.add({{span.phase, oldest.step, span.layer}, at(span.begin_us), at(span.end_us)});
    settled_ns_ = std::max(settled_ns_, at(span.end_us));
  }
}

ConstMatrixView CudaStackRunner::output() {
  stack_.fetch();
  wait_until([&] { return stack_.has_fetched(); }, watch_.position().step);
  return stack_.fetched();
}

RunnerMemory CudaStackRunner::memory() const {
  const CudaStackMemory stack = stack_.memory();
  return {.weights = stack.weights,
          .row_buffers = stack.row_buffers,
          .shared_rows = 0,
          .workspace = stack.workspace,
          .scratch = stack.scratch,
          .plans = stack.plans};
}

}  // namespace hashep
