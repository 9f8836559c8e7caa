// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/watch.hpp"
#include "core/thread_choice.hpp"
#include "launch/gpu_binding.hpp"
#include "launch/model_report.hpp"
#include "launch/process/result_json.hpp"
#include "runtime/layer/phase_log.hpp"
#include "runtime/layer/streaming_stats.hpp"

namespace hashep {

/// Bytes a rank holds, by purpose. What they leave of the peak is the program and its libraries.
struct MemoryUse {
  bool on_gpu = false;  // weights to scratch are in GPU memory, not in the resident size
  int64_t weights = 0;
  int64_t row_buffers = 0;  // of the transport, exactly as the plans say
  int64_t shared_rows = 0;  // other ranks' row buffers that this rank uses in place
  int64_t workspace = 0;    // hidden states, layer output, shared experts, weights per choice
  int64_t scratch = 0;      // of the experts' tiles
  int64_t plans = 0;        // batches' plans and the planning exchange's buffers, on the host
  int64_t gpu_plans = 0;    // and on the GPU
  int64_t peak_rss = 0;
};

/// Outcome of --check.
struct CheckResult {
  int64_t tokens = 0;               // checked, over all ranks
  double max_relative_error = 0.0;  // of a row
  double bound = 0.0;               // of that, in the row where it is largest
  double max_share = 0.0;           // of its own bound, that an element's error has
};

/// What one rank knows of its run.
struct RunStats {
  int64_t steps = 0;
  int64_t batch_tokens = 0;
  double loop_s = 0.0;                // from the first batch's routing to the end of the last step
  int64_t bytes_sent = 0;             // to other ranks, dispatch and combine, all steps, this rank
  double expert_max_over_mean = 1.0;  // of the layer where it is worst, over all steps
  double rank_max_over_mean = 1.0;
  int64_t planning_exchanges = 0;
  int64_t collectives_in_step = 0;  // most in one step
  MemoryUse memory;
  std::optional<CheckResult> check;
  std::optional<StreamingStats> streaming;  // result: uses to least and LRU loads of all ranks
};

/// What a row of results needs to say about the run.
struct RunDescription {
  MeasuredRow row;  // name and samples to be filled
  ResultHead head;
  ThreadChoice threads;              // of rank 0
  std::string implementation;        // of the experts
  std::vector<GpuBinding> bindings;  // of all ranks, on rank 0, where they are on GPUs
  ModelReport model;
};

/// A run's result over all ranks: phases in order, each with samples that are the maximum over
/// ranks.
struct RunResult {
  std::vector<MeasuredRow> phases;
  double tokens_per_s = 0.0;        // of the steps alone
  double tokens_per_s_wall = 0.0;   // of the whole loop, but for --check
  int64_t bytes_sent_per_step = 0;  // all ranks
  int ranks = 1;
  RunStats stats;  // memory: maximum over ranks
};

/// Collective.
RunResult gather_result(const Communicator& comm, Watch& watch, const PhaseLog& log,
                        const RunStats& stats, const RunDescription& description);

/// The closing table.
std::string result_table(const RunResult& result);

/// The same as a result document (docs/design.md, "Result JSON").
std::string result_json(const RunResult& result, const RunDescription& description);

}  // namespace hashep
