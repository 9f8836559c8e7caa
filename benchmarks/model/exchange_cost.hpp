// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "benchmarks/model/machine_profile.hpp"
#include "benchmarks/model/rank_flows.hpp"
#include "hashep/node_map.hpp"

namespace hashep::bench {

/// How rows are moved, as far as costs depend on it.
enum class Move {
  push,    // shm, ipc, local: each row straight to its place, one node
  packed,  // mpi, nccl: permute, a message for each rank, permute
  once,    // hier: push within nodes; a row goes to another node once
  raw,     // a message for each rank, rows in order already: the yardstick alltoallv
  copied,  // nothing leaves the rank: the yardstick copy_bound
  direct,  // a message for each row without permuting: low-latency kernels of other libraries
};

/// The way of a transport, or of a yardstick of `hashep-bench exchange`; nothing for other names.
std::optional<Move> move_of(std::string_view name);

enum class Direction { dispatch, combine };

/// One exchange of a job.
struct ExchangeCase {
  Move move = Move::push;
  Direction direction = Direction::dispatch;
  double row_bytes = 0.0;
  bool node_reduce = false;  // results of a node return summed (Move::once)
};

/// What one rank does in an exchange.
struct RankWork {
  std::array<double, kNumLevels> bytes{};
  std::array<double, kNumLevels> messages{};
  double working_set_bytes = 0.0;
  bool operator==(const RankWork&) const = default;
};

/// What each rank does. A link in both directions at once carries the larger of what goes out and
/// what comes in. docs/cost-model.md has the formulas. [ep_size]
std::vector<RankWork> exchange_work(const JobFlows& flows, const NodeMap& nodes,
                                    const MachineProfile& profile, const ExchangeCase& exchange);

/// Seconds that a rank is busy with its work.
double work_seconds(const RankWork& work, const MachineProfile& profile);

/// The slowest rank's.
struct Slowest {
  size_t rank = 0;
  double seconds = 0.0;
};
Slowest slowest_rank(const std::vector<RankWork>& work, const MachineProfile& profile);

}  // namespace hashep::bench
