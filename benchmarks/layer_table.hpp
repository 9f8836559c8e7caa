// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "benchmarks/plan_when.hpp"
#include "benchmarks/rank_harness.hpp"
#include "launch/process/result_json.hpp"

namespace hashep::bench {

/// One line of `hashep-bench layer`. Times are of a whole batch: of all its layers.
struct LayerRow : MeasuredRow {
  RankSamples samples;           // samples_us: samples.max_us
  std::optional<PlanWhen> when;  // nothing: a yardstick
  std::string router;
  std::string placement;
  int64_t num_layers = 1;
  std::optional<double> tokens_per_s;  // of all ranks, through all layers
  std::optional<double> gflops;        // of all ranks' routed experts, over the slowest rank's time
  // A yardstick's time over this one's of the same round, median over rounds.
  std::optional<double> share_of_gemm_bound;
  std::optional<double> share_of_copy_bound;
};

/// What the columns mean, as --help and the head of the table say it.
extern const char* const kLayerColumns;

/// The column titles, and a line of the table.
std::string layer_titles();
std::string layer_line(const LayerRow& row);

/// The line as JSON: what every measured row has, and the rest.
nlohmann::ordered_json layer_json(const LayerRow& row);

}  // namespace hashep::bench
