// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "comm/plan/traffic.hpp"
#include "hashep/batch_plan.hpp"
#include "runtime/layer/tape.hpp"
#include "runtime/model/streaming_plan.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep {

/// What a job would run, as far as traffic and memory depend on it.
struct DryRunOptions {
  int64_t batch_tokens = 0;  // of a step, over all ranks
  int64_t seq_len = 1;
  int64_t steps = 1;
  int64_t row_bytes = 0;
  RowBuffers exchange = RowBuffers::shared_memory;
  int plan_depth = 0;  // batches planned ahead, by exchange: see PlanningOptions
  std::optional<TrafficUnit> traffic;
  std::optional<TapeSizes> tape;  // of a job that trains
  bool with_uses = false;         // see DryRunResult::uses
  int threads = 1;
};

/// What all its ranks would move and hold. Bytes are those of dispatch in all layers of a step, the
/// mean over steps.
struct DryRunResult {
  double expert_max_over_mean = 1.0;  // of the layer where it is worst, over all steps
  double rank_max_over_mean = 1.0;
  double node_max_over_mean = 1.0;  // rows of a rank on the average of its node
  int64_t bytes_intra = 0;          // to other ranks of the source's node
  int64_t bytes_inter = 0;          // to other nodes, a row for each assignment
  int64_t bytes_inter_dedup = 0;    // to other nodes, a row for each (token, node)
  int64_t buffer_bytes_max = 0;     // row buffers of the rank that holds most
  int64_t tape_bytes_max = 0;       // of the rank and step that keep most, with options.tape
  int64_t plan_bytes_max = 0;       // plans, and buffers of planning, of the rank that holds most
  int64_t counts_bytes_node_max =
      0;                  // of these the buffers of planning of the node that holds most
  TrafficMatrix traffic;  // rows of all layers and steps; empty unless asked for
  /// Which experts each rank computes in each step, numbered layer by layer among its own:
  /// [ep_size] [steps]; empty unless asked for.
  std::vector<std::vector<StepUses>> uses;
};

/// Routes every batch as each of the geometry's ranks would, one rank after the other, and derives
/// from the counts what their plans would say: no plan is built, nothing is exchanged. Memory:
/// O(ep_size * num_layers * (num_experts + num_nodes)) words. The same result for any number of
/// threads. Throws InputError on ids that routers refuse.
DryRunResult dry_run(const StackGeometry& geometry, const Router& router, const TokenStream& stream,
                     const DryRunOptions& options);

}  // namespace hashep
