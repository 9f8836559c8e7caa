// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>

#include "comm/communicator.hpp"
#include "comm/shared_file.hpp"
#include "comm/topology.hpp"
#include "comm/watch.hpp"
#include "core/atomic_file.hpp"
#include "core/thread_choice.hpp"
#include "hashep/batch_plan.hpp"
#include "launch/device_setup.hpp"
#include "launch/model_report.hpp"
#include "launch/run_options.hpp"
#include "runtime/layer/make_router.hpp"
#include "runtime/layer/stack_runner.hpp"
#include "runtime/model/model_folder.hpp"

namespace hashep {

/// All that a run needs, read and checked on this rank, before the first token moves.
struct RunSetup {
  ModelConfig config;
  ModelReport model;
  DType dtype = DType::f32;
  bool residual = true;
  ThreadChoice threads;
  int64_t steps = 1;
  std::unique_ptr<TokenStream> stream;
  BatchSplit split;
  std::unique_ptr<WeightSource> weights;
  WeightTypes weight_types;  // of a folder
  std::unique_ptr<Router> router;
  std::vector<Placement> placements;      // until they are the geometry's
  std::optional<StackGeometry> geometry;  // with the nodes that the transport knows
  std::unique_ptr<Topology> topology;     // the runner's transport refers to it
  DeviceSetup device;
  std::unique_ptr<StackRunner> runner;
  uint64_t token_digest = 0;  // of the ids that the run begins with
  WeightDigests weight_digests;
  uint64_t hidden_digest = 0;  // of --hidden
  Buffer input;                // [tokens, hidden_size]: what each step starts from

  // Where they are asked for: on all ranks, and on rank 0.
  std::unique_ptr<SharedFile> output;
  std::optional<AtomicFile> json;
  std::optional<AtomicFile> trace;

  Range rows() const { return split_range(split.batch_tokens, split.ep_size, split.ep_rank); }
  MatrixView input_rows() { return input.matrix(dtype, rows().size(), config.hidden_size); }
};

/// Reads model, table, tokens and input, packs weights and opens results. Throws
/// CollectiveInputError on all ranks where one fails or ranks disagree. Collective.
RunSetup set_up_run(const RunOptions& options, const Communicator& comm, Watch& watch);

}  // namespace hashep
