// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "hashep/split.hpp"

namespace hashep {

/// The part of an exchange that crosses between nodes, as one rank sees it, where a row goes to a
/// node once, however many of its experts are there. A source sends the rows that a node needs to
/// one rank of that node (NodeMap::peer_of), which puts each into all its final places there and
/// later sends the results back. Empty where all ranks share a node.
struct NodePlan {
  /// An expert of a node, as a place in the list of that node's experts (owners in rank order,
  /// each one's experts ascending), with kLastRoute set on the last one of a row.
  using Route = uint16_t;
  static constexpr Route kLastRoute = 0x8000;

  /// This rank's rows that go to one other node.
  struct Outgoing {
    int32_t node = 0;
    int32_t peer = 0;             // the rank that takes them in
    std::vector<int32_t> tokens;  // whose rows go, ascending. [rows]
    std::vector<Route> routes;    // in the order (token, choice). [assignments]
    int64_t first_return = 0;     // where results from that node begin, among all returned rows
    int64_t num_returns = 0;      // assignments; with `reduces` rows

    int64_t num_rows() const { return static_cast<int64_t>(tokens.size()); }
    int64_t num_routes() const { return static_cast<int64_t>(routes.size()); }
    bool operator==(const Outgoing&) const = default;
  };

  /// Rows of a rank of another node that this rank takes in for its node.
  struct Incoming {
    int32_t source = 0;
    int64_t num_rows = 0;
    int64_t num_routes = 0;
    int64_t num_returns = 0;            // as in Outgoing
    std::vector<int64_t> landing_rows;  // where source's rows of each of the node's experts begin
                                        // in the owner's expert-major order. [node_experts]
    bool operator==(const Incoming&) const = default;
  };

  bool reduces = false;                  // a node's contributions to a token return as one sum
  std::vector<int32_t> node_experts;     // of this rank's node, in the order of routes
  std::vector<Route> expert_routes;      // place of each expert in its node's list. [num_experts]
  std::vector<int32_t> expert_outgoing;  // which of `outgoing` goes to its node; -1: own node.
                                         // [num_experts]
  std::vector<Outgoing> outgoing;        // one for each other node, the next higher node first
  std::vector<Incoming> incoming;        // likewise

  /// This rank's expert-major rows that come from other nodes, ascending, not touching.
  std::vector<Range> far_rows;

  /// Where the result of each assignment is found at the source: an expert of this node in
  /// ExchangePlan::send_rows order, any other in the order of returned rows; -1: padding, or part
  /// of a sum that another choice of the token stands for. [tokens * top_k]
  std::vector<int64_t> return_rows;

  int64_t total_returns() const {
    return outgoing.empty() ? 0 : outgoing.back().first_return + outgoing.back().num_returns;
  }
  bool operator==(const NodePlan&) const = default;
};

}  // namespace hashep
