// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "comm/plan/traffic.hpp"
#include "launch/process/option_types.hpp"
#include "launch/static_routing.hpp"
#include "runtime/layer/stack_placements.hpp"

namespace hashep {

inline constexpr int64_t kMaxRanks = 65536;  // of a job that is planned
inline constexpr CountLimits kRankLimits{.least = 1, .most = kMaxRanks};

/// The command line of `hashep plan`.
struct PlanCommandOptions {
  RoutingOptions routing;
  std::vector<int64_t> ranks = {8};
  std::vector<int64_t> ranks_per_node = {8};
  int64_t tokens_per_rank = 4096;
  int64_t steps = 1;
  PlacementSource placement;
  std::string dtype = "fp32";
  std::string transport = "auto";
  bool node_reduce = false;
  bool training = false;
  bool recompute = false;
  int64_t plan_depth = 1;
  int64_t weight_memory = 0;  // bytes of a rank for routed experts; 0: all are held
  int64_t disk = 0;           // bytes a second that a rank reads
  double gflops = 0.0;        // of a rank's experts
  int64_t threads = 0;        // 0: choose_threads
  std::string traffic;        // rank, node, or empty
  std::string json;
  std::string csv;

  /// Whose traffic is wanted in a job on so many nodes, if any is.
  std::optional<TrafficUnit> traffic_unit(int num_nodes) const;
};

void declare_plan_options(CLI::App& app, PlanCommandOptions& options);

/// Throws InputError.
void validate_plan_options(const CLI::App& app, const PlanCommandOptions& options);

}  // namespace hashep
