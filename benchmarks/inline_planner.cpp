// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/inline_planner.hpp"

#include "hashep/error.hpp"

namespace hashep::bench {

InlinePlanner::InlinePlanner(const Workload& workload, const BatchSplit& split,
                             const JobRanks& ranks)
    : workload_(workload), split_(split), planner_(workload.geometry(), ranks) {}

void InlinePlanner::start(PhaseLog& log) {
  ++plan_.step;
  log.set_step(plan_.step);
  const PhaseLog::Scope scope(log, Phase::route);
  error_.clear();
  try {
    read_batch(workload_.stream(), split_, plan_.step, batch_);
  } catch (const InputError& error) {
    error_ = error.marked();  // told to all ranks with the first layer's counts
  }
  plan_.tokens = std::ssize(batch_.ids);
}

void InlinePlanner::assign(const RoutedLayer& layer, std::span<int32_t> experts) {
  if (!error_.empty()) throw InputError(error_);
  workload_.router().route(batch_.view(), layer, experts);
}

}  // namespace hashep::bench
