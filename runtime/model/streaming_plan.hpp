// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hashep {

/// The use of an expert by a layer of a step.
struct ExpertUse {
  int64_t item = 0;  // which of a rank's experts
  int64_t rows = 0;
};
using StepUses = std::vector<ExpertUse>;  // in the order in which a rank computes them

/// How a rank streams experts (WeightStore), and what its disk and cores do.
struct StreamingJob {
  int slots = 1;
  int spare = 0;                    // as of WeightStore::Options
  int64_t plan_depth = 1;           // batches that are planned ahead, as `hashep run` plans them
  std::vector<int64_t> read_bytes;  // by item
  double disk_bytes_per_s = 0.0;    // 0: no time is foretold
  double seconds_per_row = 0.0;     // of an expert
};

struct StreamingForecast {
  int64_t uses = 0;
  int64_t loads = 0;
  int64_t least_loads = 0;  // had all uses been known
  int64_t lru_loads = 0;
  int64_t bytes_read = 0;
  double stall_s = 0.0;    // that layers wait for reads, over all steps
  double compute_s = 0.0;  // of the experts
};

/// What a rank reads in these steps, use by use as WeightStore decides, and when: one read after
/// the other, each when its slot is free and its batch decided; experts compute in their order.
StreamingForecast forecast_streaming(std::span<const StepUses> steps, const StreamingJob& job);

}  // namespace hashep
