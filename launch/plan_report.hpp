// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "launch/plan_options.hpp"
#include "runtime/layer/dry_run.hpp"
#include "runtime/layer/stored_experts.hpp"
#include "runtime/layer/training_memory.hpp"

namespace hashep {

/// What a job's ranks read where they stream experts.
struct PlannedStreaming {
  StreamingBudget budget;    // of the rank with most slots
  StreamingForecast all;     // sums over ranks; times are those of the rank that waits longest
  int64_t most_bytes = 0;    // of a rank
  double hiding_rows = 0.0;  // of an expert: from here on computing takes longer than reading; 0:
                             // not known
};

/// One job that was planned.
struct PlannedJob {
  int64_t ranks = 1;
  int64_t ranks_per_node = 1;
  int64_t nodes = 1;
  std::optional<TrafficUnit> traffic_unit;
  int64_t row_bytes = 0;
  double bound = 1.0;  // of expert_max_over_mean, for any table over token ids
  DryRunResult result;
  std::optional<TrainingMemory> training;  // beside the tape
  std::optional<PlannedStreaming> streaming;
  double seconds = 0.0;  // that planning took
};

/// The table's head, and a job's line.
std::string plan_table_head();
std::string plan_table_line(const PlannedJob& job);

/// The same of its memory for training.
std::string training_head();
std::string training_line(const PlannedJob& job);

/// The same of what it reads.
std::string streaming_head();
std::string streaming_line(const PlannedJob& job, int64_t steps);

/// The traffic of a job as a matrix in text.
std::string traffic_text(const PlannedJob& job, int64_t steps);

/// A job as a row of the result (docs/design.md, "Result JSON").
nlohmann::ordered_json plan_row(const PlannedJob& job, const PlanCommandOptions& options,
                                const ModelConfig& config);

/// The head and the lines of a job's traffic matrix: bytes of dispatch in a step.
std::string traffic_csv_head();
std::string traffic_csv(const PlannedJob& job, int64_t steps);

}  // namespace hashep
