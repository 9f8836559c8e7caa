// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "benchmarks/model/exchange_cost.hpp"
#include "benchmarks/model/layer_cost.hpp"
#include "tests/benchmarks/model/profile_case.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using namespace hashep::bench;

namespace {

/// Two nodes of two ranks; only rank 0 moves anything, but for what others take in.
JobFlows small_flows() {
  JobFlows flows;
  flows.ranks.resize(4);
  flows.ranks[0] = {.tokens = 10,
                    .own = 4,
                    .near_out = 6,
                    .near_in = 7,
                    .far_out = 20,
                    .far_in = 5,
                    .far_out_once = 8,
                    .taken_in = 3,
                    .forward_own = 2,
                    .forward_near = 4,
                    .near_peers = 1,
                    .far_peers = 2,
                    .far_nodes = 1};
  flows.expert_rows = {8, 16, 0, 1};
  return flows;
}

double seconds(const MachineProfile& profile, Move move, Direction direction,
               bool node_reduce = false) {
  const NodeMap nodes = nodes_of_equal_size(4, 2);
  const ExchangeCase exchange{move, direction, 2.0, node_reduce};
  const auto work = exchange_work(small_flows(), nodes, profile, exchange);
  return work_seconds(work[0], profile);
}

}  // namespace

TEST_CASE("the cost of an exchange is what its formula says") {
  const MachineProfile in_turn = test::round_profile();
  const MachineProfile at_once = test::round_profile(true);
  const auto both = [](const MachineProfile& profile, Move move) {
    return std::pair{seconds(profile, move, Direction::dispatch),
                     seconds(profile, move, Direction::combine)};
  };
  // Tokens and own rows copied, near rows pushed.
  CHECK(both(in_turn, Move::push).first == Approx(1 + 28 / 100.0 + 2 + 12 / 20.0));
  CHECK(both(in_turn, Move::push).second == both(in_turn, Move::push).first);
  CHECK(both(at_once, Move::push).first == Approx(1 + 2 + 14 / 20.0));  // comes in, not goes out
  // Own rows read and written, near ones as they come in, far ones as they go out; a message each.
  const double raw = 1 + 16 / 100.0 + 3 + 14 / 10.0 + 2 * 5 + 40 / 1.0;
  CHECK(both(in_turn, Move::raw).first == Approx(raw));
  // Tokens read, 30 rows written; 16 that landed read and written.
  CHECK(both(in_turn, Move::packed).first == Approx(raw + (10 + 30 + 2 * 16) * 2 / 50.0));
  CHECK(both(in_turn, Move::copied).first == Approx(1 + 120 / 100.0));
  CHECK(both(at_once, Move::direct).first == Approx(2 + 40.0));  // longer than its messages
  MachineProfile by_message = at_once;
  by_message.at(Level::network).message_s = 50.0;
  CHECK(both(by_message, Move::direct).first == Approx(2 + 2 * 50.0));

  // Once: 8 rows and 20 routes out, a message each, against 3 rows and 6 routes in; 4 near rows for
  // other nodes.
  const double near = 2 + (6 + 4) * 2 / 20.0;
  CHECK(both(in_turn, Move::once).first ==
        Approx(1 + (10 + 4 + 2 + 2 * 8 + 3) * 2 / 100.0 + near + 2 * 5 + (8 * 2 + 20 * 2)));
  // Back come 20 results against 6 that go.
  CHECK(both(in_turn, Move::once).second ==
        Approx(1 + (10 + 4 + 2 + 6 + 20) * 2 / 100.0 + near + 5 + 20 * 2));
  // Or 3 sums, and before them 6 weights, against 8 sums and 20 weights.
  CHECK(seconds(in_turn, Move::once, Direction::combine, true) ==
        Approx(1 + (10 + 4 + 2 + 3 + 8) * 2 / 100.0 + near + 2 * 5 + (8 * 2 + 20 * 4)));
}

TEST_CASE("a link that a node's ranks share carries the bytes of them all") {
  MachineProfile profile = test::round_profile();
  JobFlows flows = small_flows();
  flows.ranks[1].far_in = 100;
  const NodeMap nodes = nodes_of_equal_size(4, 2);
  const ExchangeCase exchange{Move::raw, Direction::dispatch, 2.0, false};
  const auto network = [&](size_t rank) {
    return exchange_work(flows, nodes, profile, exchange)[rank]
        .bytes[static_cast<size_t>(Level::network)];
  };
  CHECK(network(0) == 40.0);
  CHECK(network(1) == 200.0);
  profile.network_per_node = true;
  CHECK(network(0) == 210.0);
  CHECK(network(1) == 210.0);
  CHECK(network(2) == 0.0);
}

TEST_CASE("speeds of small working sets hold for small exchanges alone") {
  MachineProfile profile = test::round_profile();
  profile.at(Level::copy).cached = {{80.0, 1000.0}};
  CHECK(seconds(profile, Move::push, Direction::dispatch) ==
        Approx(1 + 28 / 1000.0 + 2 + 12 / 20.0));
  profile.at(Level::copy).cached = {{79.0, 1000.0}};
  CHECK(seconds(profile, Move::push, Direction::dispatch) ==
        Approx(1 + 28 / 100.0 + 2 + 12 / 20.0));
}

TEST_CASE("experts cost the slowest rank's GEMMs at the speed of their rows") {
  const MachineProfile profile = test::round_profile();
  const Placement placement({0, 1, 1, 0}, 2);
  const LayerShape shape{.ffn = {3, 5, Activation::relu}};
  const double flops = 2 * 2 * 3 * 5;
  CHECK(shape.flops_per_row() == flops);
  CHECK(LayerShape{.ffn = {3, 5, Activation::silu}}.flops_per_row() == 3 * 2 * 3 * 5);
  const ExpertsCost cost = experts_cost(small_flows(), placement, profile, shape);
  const double first = 8 * flops / (40.0 * std::sqrt(2.0)) + 1 * flops / 10.0;
  REQUIRE(first > 16 * flops / 80.0);
  const double second = 16 * flops / 80.0;
  CHECK(cost.slowest == Approx(std::max(first, second)));
  CHECK(cost.mean == Approx((first + second) / 2));
}
