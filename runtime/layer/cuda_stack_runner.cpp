// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/cuda_stack_runner.hpp"

#include <algorithm>
#include <cmath>
#include <exception>

namespace hashep {
namespace {

constexpr int kSpins = 4096;  // polls of the GPU before the core is yielded between them
constexpr int kPolls = 256;   // of the GPU between looks at what exactly it is at
constexpr size_t kAhead = 2;  // steps that may be asked for and not settled

}  // namespace

CudaStackRunner::CudaStackRunner(const ModelConfig& config, const WeightSource& weights,
                                 std::span<const Placement> placements,
                                 const CudaExecOptions& options, const GpuInfo& gpu,
                                 std::unique_ptr<Transport> transport, Watch& watch)
    : watch_(watch),
      gpu_(gpu),
      stack_(config, weights, placements, watch.rank(), options, std::move(transport)) {}

CudaStackRunner::~CudaStackRunner() {
  if (std::uncaught_exceptions() == 0) return;
  last_wait_.emplace(watch_, "ending its work on " + gpu_.name);
}

template <typename Ready>
void CudaStackRunner::wait_until(Ready&& ready, int64_t step) {
  watch_.at({Phase::step, step, -1});
  watch_.wait_until(kSpins, ready, [&] { return " for " + gpu_.name; });
}

void CudaStackRunner::prepare(const BatchPlan& plan) {
  stack_.prepare(plan);
}

void CudaStackRunner::run(BatchPlan& plan, PhaseLog& log) {
  asked_.push_back({plan.step, log.now_ns()});
  watch_.at({Phase::step, plan.step, -1});
  stack_.run(plan.step);
  while (asked_.size() >= kAhead) settle(log);
}

void CudaStackRunner::finish(PhaseLog& log) {
  while (!asked_.empty()) settle(log);
}

void CudaStackRunner::settle(PhaseLog& log) {
  const Asked oldest = asked_.front();
  auto is_done = [&, polls = 0]() mutable {
    if (stack_.is_done(oldest.step)) return true;
    if (++polls % kPolls == 0) watch_.at(stack_.position(oldest.step));
    return false;
  };
  wait_until(is_done, oldest.step);
  asked_.pop_front();
  // The GPU began the step when it was asked to, or when it was done with the one before.
  const int64_t begin_ns = std::max(oldest.asked_ns, settled_ns_);
  for (const PhaseSpan& span : stack_.phases(oldest.step)) {
    const auto at = [&](double us) -> int64_t { return begin_ns + std::llround(1e3 * us); };
    log.add(
        {{span.phase, oldest.step, span.layer}, at(span.begin_us), at(span.end_us), span.track});
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
          .shared_rows = stack.shared_rows,
          .workspace = stack.workspace,
          .scratch = stack.scratch,
          .plans = stack.plans};
}

}  // namespace hashep
