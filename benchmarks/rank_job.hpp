// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "benchmarks/rank_report.hpp"
#include "benchmarks/workload.hpp"
#include "comm/communicator.hpp"
#include "comm/topology.hpp"
#include "comm/watch.hpp"

namespace hashep::bench {

/// How benchmarks on ranks begin and end: with ranks that agree on the command line and the tokens,
/// and with a JSON file from rank 0, whole or not at all.
class RankJob {
 public:
  /// most_tokens: of a rank, in any batch. Throws CollectiveInputError on all ranks. Collective.
  RankJob(const RankOptions& options, int64_t most_tokens, const std::vector<std::string>& args,
          const Communicator& comm, Watch& watch);

  const Topology& topology() const { return topology_; }
  const Workload& workload() const { return *workload_; }

  /// Print on rank 0; `print_head` what all tables begin with, and then `text`.
  void print_head(const std::string& text) const;
  void print(const std::string& text) const { report_.print(text); }

  /// For work on GPUs: what this rank's GPU is, and which rank has which, for the JSON.
  void set_gpus(std::string gpu, nlohmann::ordered_json binding);

  /// Writes the JSON, where it is asked for. Throws CollectiveRunError where anything is wrong, and
  /// writes nothing then. Collective.
  void finish(nlohmann::ordered_json results, int64_t wrong);

 private:
  std::string nodes_text() const;

  const RankOptions& options_;
  const Communicator& comm_;
  RankReport report_;
  Topology topology_;
  std::optional<Workload> workload_;
  std::string note_;  // on the tokens
  std::optional<std::string> gpu_;
  nlohmann::ordered_json binding_;  // null where there are no GPUs
};

}  // namespace hashep::bench
