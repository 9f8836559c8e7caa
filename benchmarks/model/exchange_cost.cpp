// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/exchange_cost.hpp"

#include <algorithm>

namespace hashep::bench {
namespace {

constexpr double kRouteBytes = 2.0;   // of an assignment, beside a row that goes to a node once
constexpr double kWeightBytes = 4.0;  // of an assignment whose result returns summed

double number(int64_t rows) {
  return static_cast<double>(rows);
}

/// Bytes over a rank's link to other nodes, in each direction.
struct LinkBytes {
  double out = 0.0;
  double in = 0.0;
};

/// Fills in the work of one rank but for the network's bytes, which it returns.
class RankCase {
 public:
  RankCase(const RankFlows& flows, const MachineProfile& profile, const ExchangeCase& exchange)
      : flows_(flows), overlap_(profile.overlap), exchange_(exchange) {}

  LinkBytes fill(RankWork& work) const {
    const double row = exchange_.row_bytes;
    work.working_set_bytes = number(flows_.tokens + flows_.sent()) * row;
    switch (exchange_.move) {
      case Move::push:
        bytes(work, Level::copy) = number(flows_.tokens + flows_.own) * row;
        bytes(work, Level::node) = near_rows(0) * row;
        messages(work, Level::node) = number(flows_.near_peers);
        return {};
      case Move::packed:
        bytes(work, Level::permute) =
            number(flows_.tokens + flows_.sent() + 2 * flows_.landing()) * row;
        return fill_messages(work);
      case Move::raw:
        return fill_messages(work);
      case Move::copied:
        work.working_set_bytes = 2.0 * number(flows_.sent()) * row;
        bytes(work, Level::copy) = work.working_set_bytes;
        return {};
      case Move::direct:
        bytes(work, Level::node) = near_both_ways() * row;
        messages(work, Level::node) = number(flows_.near_peers);
        messages(work, Level::network) = number(flows_.far_peers);
        return {number(flows_.far_out) * row, number(flows_.far_in) * row};
      case Move::once:
        break;
    }
    return fill_once(work);
  }

 private:
  static double& bytes(RankWork& work, Level level) {
    return work.bytes[static_cast<size_t>(level)];
  }
  static double& messages(RankWork& work, Level level) {
    return work.messages[static_cast<size_t>(level)];
  }
  bool is_dispatch() const { return exchange_.direction == Direction::dispatch; }

  double near_both_ways() const { return number(std::max(flows_.near_out, flows_.near_in)); }
  /// Rows to other ranks of the node, of which `forwarded` more for other nodes' sake. The rank at
  /// the source does the work, in both directions; but a link of its own may be held up by what
  /// comes the other way.
  double near_rows(int64_t forwarded) const {
    const int64_t out = flows_.near_out + forwarded;
    const int64_t in = flows_.near_in + (exchange_.move == Move::once ? flows_.forwarded_to : 0);
    return number(overlap_ ? std::max(out, in) : out);
  }

  LinkBytes fill_messages(RankWork& work) const {
    const double row = exchange_.row_bytes;
    bytes(work, Level::copy) = 2.0 * number(flows_.own) * row;
    bytes(work, Level::message) = near_both_ways() * row;
    messages(work, Level::message) = number(flows_.near_peers);
    messages(work, Level::network) = number(flows_.far_peers);
    return {number(flows_.far_out) * row, number(flows_.far_in) * row};
  }

  LinkBytes fill_once(RankWork& work) const {
    const double row = exchange_.row_bytes;
    const int64_t served = flows_.forward_own + flows_.forward_near;
    bytes(work, Level::node) = near_rows(flows_.forward_near) * row;
    messages(work, Level::node) = number(flows_.near_peers);
    // Rows, and beside them their routes, or what results are weighted with before they are summed.
    const int64_t messages_to_node = is_dispatch() || exchange_.node_reduce ? 2 : 1;
    messages(work, Level::network) = number(messages_to_node * flows_.far_nodes);
    int64_t copied = flows_.tokens + flows_.own + flows_.forward_own;
    LinkBytes link;
    if (is_dispatch()) {
      copied += 2 * flows_.far_out_once + flows_.taken_in;  // packed; read again to be forwarded
      link = {number(flows_.far_out_once) * row + kRouteBytes * number(flows_.far_out),
              number(flows_.taken_in) * row + kRouteBytes * number(served)};
    } else {
      const int64_t back = exchange_.node_reduce ? flows_.far_out_once : flows_.far_out;
      const int64_t forth = exchange_.node_reduce ? flows_.taken_in : served;
      const double weights = exchange_.node_reduce ? kWeightBytes : 0.0;
      copied += forth + back;  // collected for the way; what came back is read
      link = {number(forth) * row + weights * number(served),
              number(back) * row + weights * number(flows_.far_out)};
    }
    bytes(work, Level::copy) = number(copied) * row;
    return link;
  }

  const RankFlows& flows_;
  bool overlap_;
  const ExchangeCase& exchange_;
};

}  // namespace

std::optional<Move> move_of(std::string_view name) {
  if (name == "shm" || name == "ipc" || name == "local") return Move::push;
  if (name == "mpi" || name == "nccl" || name == "pack_alltoallv_unpack") return Move::packed;
  if (name == "hier") return Move::once;
  if (name == "alltoallv") return Move::raw;
  if (name == "copy_bound") return Move::copied;
  return std::nullopt;
}

std::vector<RankWork> exchange_work(const JobFlows& flows, const NodeMap& nodes,
                                    const MachineProfile& profile, const ExchangeCase& exchange) {
  std::vector<RankWork> work(flows.ranks.size());
  std::vector<LinkBytes> links(profile.network_per_node ? static_cast<size_t>(nodes.num_nodes())
                                                        : work.size());
  const auto link_of = [&](size_t rank) -> LinkBytes& {
    return links[profile.network_per_node
                     ? static_cast<size_t>(nodes.node_of(static_cast<int>(rank)))
                     : rank];
  };
  for (size_t rank = 0; rank < work.size(); ++rank) {
    const LinkBytes own = RankCase(flows.ranks[rank], profile, exchange).fill(work[rank]);
    link_of(rank).out += own.out;
    link_of(rank).in += own.in;
  }
  for (size_t rank = 0; rank < work.size(); ++rank) {
    work[rank].bytes[static_cast<size_t>(Level::network)] =
        std::max(link_of(rank).out, link_of(rank).in);
  }
  return work;
}

double work_seconds(const RankWork& work, const MachineProfile& profile) {
  double latency = 0.0;
  double sending = 0.0;  // what messages take beside their bytes
  double sum = 0.0;
  double longest = 0.0;
  for (const Level level : kLevels) {
    const auto l = static_cast<size_t>(level);
    const LevelCost& cost = profile.at(level);
    if (work.bytes[l] == 0.0 && work.messages[l] == 0.0) continue;
    latency += cost.latency_s;
    sending += work.messages[l] * cost.message_s;
    const double moving = work.bytes[l] / cost.speed(work.working_set_bytes);
    sum += moving;
    longest = std::max(longest, moving);
  }
  return latency + (profile.overlap ? std::max(sending, longest) : sending + sum);
}

Slowest slowest_rank(const std::vector<RankWork>& work, const MachineProfile& profile) {
  Slowest slowest;
  for (size_t rank = 0; rank < work.size(); ++rank) {
    const double seconds = work_seconds(work[rank], profile);
    if (seconds > slowest.seconds) slowest = {rank, seconds};
  }
  return slowest;
}

}  // namespace hashep::bench
