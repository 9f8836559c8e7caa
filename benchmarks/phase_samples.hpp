// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "comm/watch.hpp"
#include "hashep/phase.hpp"
#include "runtime/layer/phase_log.hpp"

namespace hashep::bench {

/// What phases took on this rank, sample by sample: of a batch the sum over its layers, of a sample
/// the mean over its batches.
class PhaseSamples {
 public:
  /// most_scopes: times that one phase may be entered in a sample.
  PhaseSamples(Watch& watch, int64_t most_scopes) : log_(&watch, most_scopes, false) {}

  /// What the batches of a sample write to.
  PhaseLog& log() { return log_; }
  /// A batch has run.
  void count_batch() { ++batches_; }
  /// Closes the sample; where no batch has run there is none.
  void close();

  /// The newest `count` samples, in microseconds, oldest first. Empty where the phase never came.
  std::vector<double> newest(Phase phase, int64_t count) const;

 private:
  PhaseLog log_;
  int64_t batches_ = 0;
  std::array<std::vector<double>, kNumPhases> samples_;
};

}  // namespace hashep::bench
