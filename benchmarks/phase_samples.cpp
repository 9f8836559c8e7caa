// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/phase_samples.hpp"

#include <numeric>

namespace hashep::bench {

void PhaseSamples::close() {
  if (batches_ == 0) return;
  for (int phase = 0; phase < kNumPhases; ++phase) {
    const std::vector<double> scopes = log_.samples(static_cast<Phase>(phase));
    if (scopes.empty()) continue;
    const double sum = std::accumulate(scopes.begin(), scopes.end(), 0.0);
    samples_[static_cast<size_t>(phase)].push_back(sum / static_cast<double>(batches_));
  }
  log_.clear();
  batches_ = 0;
}

std::vector<double> PhaseSamples::newest(Phase phase, int64_t count) const {
  const std::vector<double>& all = samples_[static_cast<size_t>(phase)];
  if (all.empty()) return {};
  return {all.end() - static_cast<std::ptrdiff_t>(count), all.end()};
}

}  // namespace hashep::bench
