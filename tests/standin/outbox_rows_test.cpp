// SPDX-License-Identifier: Apache-2.0
// Which rows a GPU puts into its outbox, for jobs of any size: no GPU, no message.
#include "comm/exchange/outbox_rows.hpp"

#include <algorithm>
#include <cstddef>

#include "tests/support/catch.hpp"
#include "tests/support/random_routing.hpp"

namespace hashep::test {
namespace {

ExchangePlan plan_of(int nodes, int64_t tokens, int top_k, Skew skew) {
  std::mt19937 random(41);
  const int ranks = 2 * nodes;
  const std::vector<int64_t> of_ranks(ranks, tokens);
  const auto routing = random_routing(random, ranks, ranks, top_k, of_ranks, skew);
  return routing.plan(contiguous_placement(ranks, ranks), 5 % ranks, nodes_of_equal_size(ranks, 2));
}

int64_t rows_that_cross(const ExchangePlan& plan) {
  int64_t rows = 0;
  for (const NodePlan::Outgoing& out : plan.across.outgoing) rows += out.num_rows();
  return rows;
}

TEST_CASE("each row that crosses has one entry in the order of tokens") {
  for (const int nodes : {1, 2, 7, 512}) {
    for (const int top_k : {1, 2, 6}) {
      if (top_k > 2 * nodes) continue;
      for (const Skew skew : {Skew::uniform, Skew::padded}) {
        CAPTURE(nodes, top_k, static_cast<int>(skew));
        const ExchangePlan plan = plan_of(nodes, 50, top_k, skew);
        OutboxRows rows;
        ArrayLayout measured;
        rows.lay_out(plan, measured);
        std::vector<std::byte> memory(static_cast<size_t>(measured.bytes()) + 1);
        ArrayLayout arrays(memory.data(), memory.data());
        rows.lay_out(plan, arrays);
        CHECK(arrays.bytes() == measured.bytes());
        REQUIRE(std::ssize(rows.tokens) == rows_that_cross(plan));
        REQUIRE(rows.boxes.size() == rows.tokens.size());
        REQUIRE(rows.rows.size() == rows.tokens.size());
        CHECK(std::is_sorted(rows.tokens.begin(), rows.tokens.end()));
        CHECK(rows.tokens.empty() == (nodes == 1));
        std::vector<std::vector<int32_t>> boxes(plan.across.outgoing.size());
        for (size_t i = 0; i < rows.tokens.size(); ++i) {
          std::vector<int32_t>& box = boxes.at(rows.boxes[i]);
          CHECK(rows.rows[i] == std::ssize(box));
          box.push_back(rows.tokens[i]);
        }
        for (size_t i = 0; i < boxes.size(); ++i) {
          CHECK(boxes[i] == plan.across.outgoing[i].tokens);
        }
      }
    }
  }
}

TEST_CASE("the outbox's arrays are as large as the rows that cross, whatever the number of nodes") {
  constexpr int64_t kTokens = 1000;
  constexpr int64_t kRowBytes = 2 * sizeof(int32_t) + sizeof(int64_t);
  for (const int nodes : {2, 32, 512}) {
    CAPTURE(nodes);
    const ExchangePlan plan =
        plan_of(nodes, nodes == 512 ? kTokens / 10 : kTokens, 2, Skew::uniform);
    OutboxRows rows;
    ArrayLayout measured;
    rows.lay_out(plan, measured);
    CHECK(rows_that_cross(plan) > 0);
    CHECK(measured.bytes() < kRowBytes * rows_that_cross(plan) + 3 * 256);
  }
}

}  // namespace
}  // namespace hashep::test
