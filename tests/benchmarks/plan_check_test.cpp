// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/plan_check.hpp"

#include <utility>

#include "benchmarks/plan_case.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/random_routing.hpp"

using namespace hashep;

TEST_CASE("a right plan passes the check, a changed number does not") {
  std::mt19937 random(3);
  for (const test::Skew skew : {test::Skew::uniform, test::Skew::padded}) {
    const test::RandomRouting routing = test::random_routing(random, 3, 7, 2, {20, 0, 31}, skew);
    const Placement placement = contiguous_placement(7, 3);
    const CountMatrix counts{routing.counts, 7};
    for (const int rank : {0, 2}) {
      const ExchangePlan plan = routing.plan(placement, rank);
      REQUIRE(plan.total_send() > 10);
      CHECK(bench::wrong_in_plan(plan, counts, placement) == 0);
      const auto wrong_after = [&](auto&& change) {
        ExchangePlan changed = plan;
        change(changed);
        return bench::wrong_in_plan(changed, counts, placement);
      };
      CHECK(wrong_after([](ExchangePlan& p) { ++p.landing_rows[4]; }) > 0);
      CHECK(wrong_after([](ExchangePlan& p) { ++p.rank_rows[1]; }) > 0);
      CHECK(wrong_after([](ExchangePlan& p) { --p.recv_counts[2]; }) > 0);
      CHECK(wrong_after([](ExchangePlan& p) { ++p.expert_offsets[1]; }) > 0);
      CHECK(wrong_after([](ExchangePlan& p) { ++p.recv_displs.back(); }) > 0);
      CHECK(wrong_after([](ExchangePlan& p) {
              size_t first = 0;
              while (p.send_rows[first] < 0) ++first;
              size_t second = first + 1;
              while (p.send_rows[second] < 0) ++second;
              std::swap(p.send_rows[first], p.send_rows[second]);
            }) > 0);
    }
  }
}

TEST_CASE("cases of all routers and sizes are planned right") {
  for (const char* router : {"table", "token", "position", "previous", "bigram", "balanced"}) {
    for (const auto& [num_experts, top_k, ep_size] : {std::tuple{1, 1, 1}, {16, 6, 5}, {3, 2, 8}}) {
      bench::PlanCase planned({.router = router,
                               .top_k = top_k,
                               .tokens = 301,
                               .num_experts = num_experts,
                               .vocab_size = 50,
                               .ep_size = ep_size});
      planned.route();
      planned.plan();
      CHECK(planned.wrong() == 0);
      CHECK(planned.assignments() == 301 * top_k);
      CHECK(planned.bytes() > 12 * planned.assignments());
      CHECK(planned.count_bytes() == int64_t{4} * num_experts * ep_size);
    }
  }
}
