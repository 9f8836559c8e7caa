// SPDX-License-Identifier: Apache-2.0
#include "hashep/exchange_plan.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <numeric>
#include <sstream>

#include "comm/plan/plan_stats.hpp"
#include "hashep/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/random_routing.hpp"

using namespace hashep;
using test::RandomRouting;
using test::Skew;

namespace {

struct Case {
  RandomRouting routing;
  Placement placement;
};

/// Cases of all kinds: E not a multiple of R, E < R, ranks with no tokens, one expert taking all.
std::vector<Case> random_cases() {
  std::mt19937 random(2026);
  std::vector<Case> cases;
  for (int round = 0; round < 120; ++round) {
    const int ep_size = static_cast<int>(1 + random() % 9);
    const auto num_experts = static_cast<int64_t>(1 + random() % 20);
    const int top_k = static_cast<int>(1 + random() % std::min<uint64_t>(6, num_experts));
    std::vector<int64_t> tokens;
    for (int rank = 0; rank < ep_size; ++rank) {
      tokens.push_back(random() % 4 == 0 ? 0 : static_cast<int64_t>(random() % 60));
    }
    const auto skew = static_cast<Skew>(round % 3);
    RandomRouting routing = test::random_routing(random, ep_size, num_experts, top_k, tokens, skew);
    std::vector<int64_t> loads(static_cast<size_t>(num_experts));
    for (auto& load : loads) load = static_cast<int64_t>(random() % 100);
    Placement placement = round % 2 == 0 ? contiguous_placement(num_experts, ep_size)
                                         : balanced_placement(loads, ep_size);
    cases.push_back({std::move(routing), std::move(placement)});
  }
  return cases;
}

std::vector<ExchangePlan> plans_of(const Case& c) {
  std::vector<ExchangePlan> plans;
  for (int rank = 0; rank < c.routing.ep_size; ++rank) {
    plans.push_back(c.routing.plan(c.placement, rank));
  }
  return plans;
}

/// A row at its owner: which assignment it came from.
struct Origin {
  int rank = -1;
  int64_t token = -1;
  int32_t expert = -1;
};

}  // namespace

TEST_CASE("a plan by hand: two ranks, three experts, top 2") {
  // Rank 0 owns expert 0, rank 1 owns experts 1 and 2.
  const std::vector<CountWord> counts = {1, 2, 1, /* rank 1: */ 1, 0, 1};
  const ExchangePlan plan = make_plan({1, 0, 2, 1}, 2, counts, contiguous_placement(3, 2), 0);
  CHECK(plan.tokens == 2);
  CHECK(plan.send_counts == std::vector<int64_t>{1, 3});
  CHECK(plan.send_displs == std::vector<int64_t>{0, 1, 4});
  CHECK(plan.send_rows == std::vector<int64_t>{1, 0, 3, 2});
  CHECK(plan.recv_counts == std::vector<int64_t>{1, 1});
  CHECK(plan.expert_offsets == std::vector<int64_t>{0, 2});
  CHECK(plan.landing_rows == std::vector<int64_t>{0, 0, 2});
  CHECK(plan.landing_blocks == std::vector<RowBlock>{{0, 0, 1}, {1, 1, 1}});
}

TEST_CASE("no assignment is lost: counts of sources and owners agree") {
  int64_t all_rows = 0;
  for (const Case& c : random_cases()) {
    const auto plans = plans_of(c);
    for (const ExchangePlan& from : plans) {
      for (const ExchangePlan& to : plans) {
        CHECK(from.send_counts[static_cast<size_t>(to.ep_rank)] ==
              to.recv_counts[static_cast<size_t>(from.ep_rank)]);
      }
      const auto assigned = std::count_if(from.experts.begin(), from.experts.end(),
                                          [](int32_t expert) { return expert >= 0; });
      CHECK(from.total_send() == assigned);
      CHECK(from.expert_offsets.back() == from.total_recv());
      all_rows += from.total_recv();
    }
  }
  CHECK(all_rows > 10000);  // the cases are not empty
}

TEST_CASE("send rows are a permutation in the order (owner, expert, token)") {
  for (const Case& c : random_cases()) {
    for (const ExchangePlan& plan : plans_of(c)) {
      std::vector<Origin> by_row(static_cast<size_t>(plan.total_send()));
      for (size_t a = 0; a < plan.experts.size(); ++a) {
        if (plan.experts[a] < 0) {
          CHECK(plan.send_rows[a] == -1);
          continue;
        }
        Origin& origin = by_row.at(static_cast<size_t>(plan.send_rows[a]));
        CHECK(origin.token == -1);  // no row is taken twice
        origin = {plan.ep_rank, static_cast<int64_t>(a) / plan.top_k, plan.experts[a]};
      }
      CHECK(std::is_sorted(by_row.begin(), by_row.end(), [&](const Origin& a, const Origin& b) {
        return std::tuple(c.placement.rank_of(a.expert), a.expert, a.token) <
               std::tuple(c.placement.rank_of(b.expert), b.expert, b.token);
      }));
    }
  }
}

TEST_CASE("landing rows fill each owner's buffer in canonical order, and blocks agree with them") {
  for (const Case& c : random_cases()) {
    const auto plans = plans_of(c);
    std::vector<std::vector<Origin>> buffers;
    for (const ExchangePlan& plan : plans) {
      buffers.emplace_back(static_cast<size_t>(plan.total_recv()));
    }
    for (const ExchangePlan& plan : plans) {
      for (size_t a = 0; a < plan.experts.size(); ++a) {
        const int32_t expert = plan.experts[a];
        if (expert < 0) continue;
        const auto e = static_cast<size_t>(expert);
        const int64_t landing = plan.landing_rows[e] + plan.send_rows[a] - plan.expert_send_rows[e];
        Origin& place = buffers[static_cast<size_t>(c.placement.rank_of(expert))].at(
            static_cast<size_t>(landing));
        CHECK(place.rank == -1);
        place = {plan.ep_rank, static_cast<int64_t>(a) / plan.top_k, expert};
      }
    }
    for (const ExchangePlan& plan : plans) {
      const auto& buffer = buffers[static_cast<size_t>(plan.ep_rank)];
      CHECK(std::is_sorted(buffer.begin(), buffer.end(), [](const Origin& a, const Origin& b) {
        return std::tuple(a.expert, a.rank, a.token) < std::tuple(b.expert, b.rank, b.token);
      }));
      for (int64_t i = 0; i < plan.num_local_experts(); ++i) {
        for (int64_t row = plan.expert_offsets[static_cast<size_t>(i)];
             row < plan.expert_offsets[static_cast<size_t>(i) + 1]; ++row) {
          CHECK(buffer[static_cast<size_t>(row)].expert ==
                plan.local_experts[static_cast<size_t>(i)]);
        }
      }
      int64_t message_row = 0;
      for (const RowBlock& block : plan.landing_blocks) {
        CHECK(block.message_row == message_row);
        CHECK(block.count > 0);
        message_row += block.count;
        const auto source =
            std::upper_bound(plan.recv_displs.begin(), plan.recv_displs.end(), block.message_row) -
            plan.recv_displs.begin() - 1;
        for (int64_t row = block.expert_row; row < block.expert_row + block.count; ++row) {
          CHECK(buffer.at(static_cast<size_t>(row)).rank == source);
        }
      }
      CHECK(message_row == plan.total_recv());
    }
  }
}

TEST_CASE("plans are values: equal inputs give equal plans, and memory is reused") {
  std::mt19937 random(3);
  const auto routing = test::random_routing(random, 3, 7, 2, {40, 0, 25}, Skew::uniform);
  const Placement placement = contiguous_placement(7, 3);
  const ExchangePlan first = routing.plan(placement, 0);
  ExchangePlan again = routing.plan(placement, 2);
  again.experts = routing.experts[0];
  complete_plan({routing.counts, 7}, placement, 0, again);
  CHECK(first == again);
  CHECK(first != routing.plan(placement, 2));
  std::ostringstream text;
  text << first;
  CHECK(text.str().starts_with("plan of rank 0 of 3: 40 tokens, top 2 of 7 experts;"));
}

TEST_CASE("a plan refuses counts that are not those of its assignments") {
  const Placement placement = contiguous_placement(2, 1);
  const std::vector<CountWord> wrong = {2, 0};
  CHECK_THROWS_WITH(make_plan({0, 1}, 1, wrong, placement, 0),
                    ContainsSubstring("announced 2 rows for expert 0 but has 1"));
  const std::vector<CountWord> short_counts = {1};
  CHECK_THROWS_AS(make_plan({0, 1}, 1, short_counts, placement, 0), RunError);
}

TEST_CASE("more assignments than a count can hold are refused before any is counted") {
  // Address space alone: whoever reads it dies.
  constexpr int64_t kAssignments = int64_t{1} << 32;
  constexpr auto kBytes = static_cast<size_t>(kAssignments) * sizeof(int32_t);
  void* const memory =
      mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  const std::span experts(static_cast<const int32_t*>(memory), static_cast<size_t>(kAssignments));
  std::vector<CountWord> counts(2);
  const std::vector<int32_t> expert_nodes = {0, 1};
  const auto refused = ContainsSubstring(
      "assignments (tokens x top_k) of a rank: 4294967296, where at most 4294967295 can be");
  CHECK_THROWS_WITH(count_assignments(experts, counts), refused);
  CHECK_THROWS_WITH(count_node_rows(experts, 1, expert_nodes, counts), refused);
  munmap(memory, kBytes);
  CHECK(count_word(4294967295, "tokens") == 4294967295);
  CHECK_THROWS_AS(count_word(4294967296, "tokens"), InputError);
  CHECK_THROWS_AS(count_word(-1, "tokens"), InputError);
}

TEST_CASE("sums of counts may be larger than a count can be") {
  // Two ranks send 3e9 rows each to the one expert, which this rank owns and sends none to.
  const std::vector<CountWord> counts = {0, 3000000000, 3000000000};
  const ExchangePlan plan = make_plan({}, 1, counts, Placement({0}, 3), 0);
  CHECK(plan.total_recv() == 6000000000);
  CHECK(plan.expert_offsets == std::vector<int64_t>{0, 6000000000});
  CHECK(plan.recv_displs == std::vector<int64_t>{0, 0, 3000000000, 6000000000});
}

TEST_CASE("a plan takes at most 16 bytes per assignment and O(E + R) more") {
  std::mt19937 random(5);
  const int64_t tokens = 20000;
  const int64_t num_experts = 256;
  const auto routing =
      test::random_routing(random, 4, num_experts, 6, {tokens, 0, 10, 100}, Skew::uniform);
  const ExchangePlan plan = routing.plan(contiguous_placement(num_experts, 4), 0);
  const int64_t assignments = tokens * 6;
  const int64_t small = 128 * (num_experts + 4);
  CHECK(plan_bytes(plan) > 12 * assignments);
  CHECK(plan_bytes(plan) <= 16 * assignments + small);
}

TEST_CASE("load factors and off-rank rows") {
  CHECK(load_factor(std::vector<int64_t>{}) == 1.0);
  CHECK(load_factor(std::vector<int64_t>{0, 0}) == 1.0);
  CHECK(load_factor(std::vector<int64_t>{3, 1}) == 1.5);
  const std::vector<CountWord> counts = {1, 2, 1, /* rank 1: */ 1, 0, 1};
  const ExchangePlan plan = make_plan({1, 0, 2, 1}, 2, counts, contiguous_placement(3, 2), 0);
  CHECK(rows_sent_off_rank(plan) == 3);
  CHECK(rows_received_off_rank(plan) == 1);
}
