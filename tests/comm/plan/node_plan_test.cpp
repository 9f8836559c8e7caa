// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <set>
#include <sstream>

#include "hashep/error.hpp"
#include "hashep/exchange_plan.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/random_routing.hpp"

using namespace hashep;
using test::RandomRouting;
using test::Skew;

namespace {

/// Ranks dealt to nodes in blocks, around, or at random, so that numbers of ranks differ.
NodeMap random_nodes(std::mt19937& random, int ep_size, int kind) {
  const int num_nodes = static_cast<int>(1 + random() % static_cast<unsigned>(ep_size));
  std::vector<int32_t> labels;
  for (int rank = 0; rank < ep_size; ++rank) {
    const auto drawn = static_cast<int32_t>(random() % static_cast<unsigned>(num_nodes));
    labels.push_back(kind == 0 ? rank * num_nodes / ep_size : kind == 1 ? rank % num_nodes : drawn);
  }
  return NodeMap(labels);
}

using Place = std::pair<int32_t, int64_t>;  // owner, expert-major row

/// Where assignment `a` lands, by the plan of its source alone.
Place landing_of(const ExchangePlan& plan, size_t a) {
  const auto expert = static_cast<size_t>(plan.experts[a]);
  return {plan.expert_ranks[expert],
          plan.landing_rows[expert] + plan.send_rows[a] - plan.expert_send_rows[expert]};
}

/// Where the rows that `source` sends to a node land by the plan of the rank that takes them in,
/// row by row as they arrive. [rows][choices there]
std::vector<std::vector<Place>> places_taken_in(const ExchangePlan& taker,
                                                const NodePlan::Incoming& in,
                                                const std::vector<NodePlan::Route>& routes) {
  std::vector<int64_t> next = in.landing_rows;
  std::vector<std::vector<Place>> rows(1);
  for (const NodePlan::Route route : routes) {
    const auto slot = static_cast<size_t>(route & ~NodePlan::kLastRoute);
    const auto expert = static_cast<size_t>(taker.across.node_experts.at(slot));
    rows.back().emplace_back(taker.expert_ranks[expert], next[slot]++);
    if ((route & NodePlan::kLastRoute) != 0) rows.emplace_back();
  }
  rows.pop_back();
  return rows;
}

/// Checks all that goes from `plan`'s rank to one other node. Returns rows and assignments.
std::pair<int64_t, int64_t> check_outgoing(const ExchangePlan& plan, const ExchangePlan& taker,
                                           const NodePlan::Outgoing& out, const NodeMap& nodes) {
  const auto in =
      std::find_if(taker.across.incoming.begin(), taker.across.incoming.end(),
                   [&](const NodePlan::Incoming& i) { return i.source == plan.ep_rank; });
  REQUIRE(in != taker.across.incoming.end());
  CHECK(in->num_rows == out.num_rows());
  CHECK(in->num_routes == out.num_routes());
  CHECK(in->num_returns == out.num_returns);
  const auto rows = places_taken_in(taker, *in, out.routes);
  CHECK(std::ssize(rows) == out.num_rows());
  // Every assignment of this rank to that node lands where its own plan says, in order.
  size_t row = 0;
  int64_t route = 0;
  for (int64_t token = 0; token < plan.tokens; ++token) {
    std::vector<Place> expected;
    const int64_t returned_row = static_cast<int64_t>(row) + out.first_return;
    for (int64_t a = token * plan.top_k; a < (token + 1) * plan.top_k; ++a) {
      const auto i = static_cast<size_t>(a);
      if (plan.experts[i] < 0) continue;
      const auto owner = plan.expert_ranks[static_cast<size_t>(plan.experts[i])];
      if (nodes.node_of(owner) != out.node) continue;
      if (plan.across.reduces) {
        CHECK(plan.across.return_rows[i] == (expected.empty() ? returned_row : -1));
      } else {
        CHECK(plan.across.return_rows[i] == out.first_return + route);
      }
      expected.push_back(landing_of(plan, i));
      ++route;
    }
    if (expected.empty()) continue;
    REQUIRE(row < rows.size());
    CHECK(out.tokens[row] == token);
    CHECK(rows[row] == expected);
    ++row;
  }
  CHECK(row == rows.size());
  return {out.num_rows(), out.num_routes()};
}

/// far_rows against the blocks of messages: a block is far where its source is.
void check_far_rows(const ExchangePlan& plan, const NodeMap& nodes) {
  std::vector<bool> is_far(static_cast<size_t>(plan.total_recv()));
  for (const RowBlock& block : plan.landing_blocks) {
    const auto source =
        std::upper_bound(plan.recv_displs.begin(), plan.recv_displs.end(), block.message_row) -
        plan.recv_displs.begin() - 1;
    const bool far = nodes.node_of(static_cast<int>(source)) != nodes.node_of(plan.ep_rank);
    for (int64_t i = 0; i < block.count; ++i)
      is_far[static_cast<size_t>(block.expert_row + i)] = far;
  }
  std::vector<bool> listed(is_far.size());
  int64_t last_end = -1;
  for (const Range& rows : plan.across.far_rows) {
    CHECK(rows.begin > last_end);
    CHECK(rows.size() > 0);
    last_end = rows.end;
    for (int64_t row = rows.begin; row < rows.end; ++row)
      listed.at(static_cast<size_t>(row)) = true;
  }
  CHECK(listed == is_far);
}

}  // namespace

TEST_CASE("each row goes once to each node that has experts of it, and lands in its places there") {
  std::mt19937 random(12);
  int64_t rows = 0;
  int64_t routes = 0;
  for (int round = 0; round < 150; ++round) {
    const int ep_size = static_cast<int>(1 + random() % 9);
    const auto num_experts = static_cast<int64_t>(1 + random() % 20);
    const int top_k = static_cast<int>(1 + random() % std::min<uint64_t>(6, num_experts));
    std::vector<int64_t> tokens;
    for (int rank = 0; rank < ep_size; ++rank) {
      tokens.push_back(random() % 4 == 0 ? 0 : static_cast<int64_t>(random() % 40));
    }
    const auto routing = test::random_routing(random, ep_size, num_experts, top_k, tokens,
                                              static_cast<Skew>(round % 3));
    const Placement placement = contiguous_placement(num_experts, ep_size);
    const NodeMap nodes = random_nodes(random, ep_size, round % 3);
    const bool reduces = round % 2 == 1;
    std::vector<ExchangePlan> plans;
    for (int rank = 0; rank < ep_size; ++rank) {
      plans.push_back(routing.plan(placement, rank, nodes, reduces));
    }
    int64_t taken_in = 0;
    for (const ExchangePlan& plan : plans) {
      taken_in += std::ssize(plan.across.incoming);
      CHECK(std::ssize(plan.across.outgoing) == nodes.num_nodes() - 1);
      for (const NodePlan::Outgoing& out : plan.across.outgoing) {
        CHECK(nodes.node_of(out.peer) == out.node);
        const auto moved = check_outgoing(plan, plans[static_cast<size_t>(out.peer)], out, nodes);
        rows += moved.first;
        routes += moved.second;
      }
      check_far_rows(plan, nodes);
      for (size_t a = 0; a < plan.experts.size() && nodes.num_nodes() > 1; ++a) {
        const bool is_padding = plan.experts[a] < 0;
        if (is_padding) CHECK(plan.across.return_rows[a] == -1);
        if (is_padding) continue;
        const auto owner = plan.expert_ranks[static_cast<size_t>(plan.experts[a])];
        if (nodes.node_of(owner) == nodes.node_of(plan.ep_rank)) {
          CHECK(plan.across.return_rows[a] == plan.send_rows[a]);
        }
      }
    }
    // Every rank is taken in once on every other node.
    CHECK(taken_in == static_cast<int64_t>(ep_size) * (nodes.num_nodes() - 1));
  }
  CHECK(rows > 2000);
  CHECK(routes > rows);  // rows were spared
}

TEST_CASE("a node map numbers nodes by their lowest rank and pairs ranks of equal local index") {
  const NodeMap nodes(std::vector<int32_t>{7, 3, 7, 3, 3});
  CHECK(nodes.num_nodes() == 2);
  CHECK(nodes.node_of(0) == 0);
  CHECK(nodes.node_of(4) == 1);
  CHECK(nodes.local_index(4) == 2);
  CHECK(std::ranges::equal(nodes.ranks_of(1), std::vector<int32_t>{1, 3, 4}));
  CHECK(nodes.peer_of(0, 1) == 1);
  CHECK(nodes.peer_of(2, 1) == 3);
  CHECK(nodes.peer_of(4, 0) == 0);  // around: node 0 has two ranks
  std::ostringstream text;
  text << nodes << "; " << one_node(1);
  CHECK(text.str() == "2 nodes of 2, 3 ranks; 1 node of 1 rank");
  CHECK_THROWS_AS(NodeMap(std::vector<int32_t>{}), RunError);
}

TEST_CASE("a node plan refuses rows that were not announced, and other ranks than the plan's") {
  // Two ranks on two nodes, one expert each; rank 0 announces one row for node 1 but has two.
  const std::vector<CountWord> words = {0, 2, 0, 1, /* rank 1: */ 0, 0, 0, 0};
  ExchangePlan plan;
  plan.experts = {1, 1};
  const Placement placement = contiguous_placement(2, 2);
  complete_plan({words, 4}, placement, 0, plan);
  const NodeMap two(std::vector<int32_t>{0, 1});
  CHECK_THROWS_WITH(complete_node_plan({words, 4}, placement, two, false, plan),
                    ContainsSubstring("announced 1 rows for node 1 but has 2"));
  CHECK_THROWS_AS(complete_node_plan({words, 4}, placement, one_node(3), false, plan), RunError);
}

TEST_CASE("on one node nothing crosses") {
  std::mt19937 random(3);
  const auto routing = test::random_routing(random, 3, 7, 2, {4, 0, 5}, Skew::uniform);
  const Placement placement = contiguous_placement(7, 3);
  CHECK(routing.plan(placement, 0, one_node(3)) == routing.plan(placement, 0));
}
