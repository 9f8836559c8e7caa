// SPDX-License-Identifier: Apache-2.0
#include "hashep/table_router.hpp"

#include <algorithm>
#include <array>
#include <random>

#include "hashep/error.hpp"
#include "runtime/routing/table_builder.hpp"
#include "runtime/tokens/token_stream.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

TableRouter one_table(RoutingTable table, int64_t num_experts) {
  std::vector<RoutingTable> tables;
  tables.push_back(std::move(table));
  return TableRouter(std::move(tables), num_experts);
}

uint64_t digest_of(const RoutingTable& table) {
  return one_table(table, 4).digest();
}

TEST_CASE("table routing copies each token's row, for every top_k") {
  constexpr int64_t kVocab = 20;
  std::mt19937_64 random(3);
  for (int top_k = 1; top_k <= 10; ++top_k) {
    const TableRouter router = one_table(build_random_table(kVocab, 16, top_k, 5), 16);
    StreamBatch batch;
    for (int i = 0; i < 200; ++i) {
      batch.ids.push_back(static_cast<int32_t>(random() % (kVocab + 1)) - 1);
    }
    std::vector<int32_t> expected;
    int num_padding = 0;
    for (const int32_t id : batch.ids) {
      num_padding += id == kPaddingId ? 1 : 0;
      for (int choice = 0; choice < top_k; ++choice) {
        const auto entry = static_cast<size_t>(id * top_k + choice);
        expected.push_back(id == kPaddingId ? -1 : router.table(0).experts[entry]);
      }
    }
    CAPTURE(top_k);
    CHECK(num_padding > 0);
    std::vector<int32_t> experts(expected.size(), -7);
    router.route(batch.view(), {0, 16, top_k}, experts);
    CHECK(experts == expected);
  }
}

TEST_CASE("a table router names a token whose id is outside its table") {
  for (const int top_k : {1, 3}) {
    const TableRouter router = one_table(build_random_table(10, 4, top_k, 0), 4);
    const RoutedLayer layer{0, 4, top_k};
    std::vector<int32_t> experts(3 * top_k);
    // Above, below, and the id that an unchecked product would wrap to.
    for (const int32_t id : {10, -2, std::numeric_limits<int32_t>::min()}) {
      const StreamBatch batch{{3, -1, id}, 500, -1, 8};
      CHECK_THROWS_WITH(router.route(batch.view(), layer, experts),
                        "token 502 has id " + std::to_string(id) + ", outside [0, 10)");
      CHECK_THROWS_AS(router.route(batch.view(), layer, experts), InputError);
    }
    // Far ahead in the batch, where its row would only be prefetched at first.
    StreamBatch batch{std::vector<int32_t>(100, 1), 0, -1, 8};
    batch.ids[60] = 2147483647;
    experts.resize(100 * top_k);
    CHECK_THROWS_WITH(router.route(batch.view(), layer, experts),
                      ContainsSubstring("token 60 has id 2147"));
  }
}

TEST_CASE("table routing of no tokens, and into a span of another size") {
  const TableRouter router = one_table(build_random_table(10, 4, 2, 0), 4);
  const RoutedLayer layer{0, 4, 2};
  router.route({}, layer, {});
  std::vector<int32_t> experts(3);
  const std::array<int32_t, 1> ids = {1};
  CHECK_THROWS_AS(router.route({.ids = ids}, layer, experts), RunError);
}

TEST_CASE("ranks whose tables differ in anything have different digests") {
  RoutingTable table{3, 1, {0, 0, 2}};
  std::vector<uint64_t> digests = {digest_of(table)};
  const auto add = [&] { digests.push_back(digest_of(table)); };
  table.spread = SpreadRows{.ids = {0}, .offsets = {0, 2}, .experts = {0, 3}};
  add();
  table.spread->experts[1] = 2;
  add();
  table.spread->seed = 1;
  add();
  table.spread->ids = {1};
  add();
  table.spread = SpreadRows{.ids = {0, 1}, .offsets = {0, 2, 3}, .experts = {0, 0, 0}};
  add();
  table.spread->offsets = {0, 1, 3};
  add();
  table.experts[2] = 3;
  add();
  CHECK(digest_of(table) == digests.back());
  table = {4, 1, {0, 1, 2, 3}};
  add();
  table = {2, 2, {0, 1, 2, 3}};
  add();
  std::sort(digests.begin(), digests.end());
  CHECK(std::adjacent_find(digests.begin(), digests.end()) == digests.end());
}

TEST_CASE("a table router has a table for each layer, or one for all") {
  const RoutingTable first = build_random_table(10, 4, 2, 0);
  const RoutingTable second = build_random_table(10, 4, 2, 1);
  const TableRouter router({first, second}, 4);
  const std::array<int32_t, 1> ids = {3};
  const auto experts_of = [&](const Router& asked, int64_t layer) {
    std::vector<int32_t> experts(2);
    asked.route({.ids = ids}, {layer, 4, 2}, experts);
    return experts;
  };
  CHECK(experts_of(router, 0) == std::vector<int32_t>{first.experts[6], first.experts[7]});
  CHECK(experts_of(router, 1) == std::vector<int32_t>{second.experts[6], second.experts[7]});
  CHECK_THROWS_WITH(experts_of(router, 2), "table router: no table for layer 2 among 2");
  CHECK(experts_of(one_table(second, 4), 7) == experts_of(router, 1));
  CHECK_THROWS_AS(TableRouter({}, 4), InputError);
  CHECK_THROWS_WITH(TableRouter({first, build_random_table(10, 5, 5, 1)}, 4),
                    "table 1: top_k is 5, expected 1 to 4 (num_experts)");
  std::vector<int32_t> experts(3);
  CHECK_THROWS_WITH(router.route({.ids = ids}, {0, 4, 3}, experts),
                    "table router: tables of 2 of 4 experts for a layer of 3 of 4");
}

TEST_CASE("validate_table names the row and the expert that are wrong") {
  RoutingTable table{3, 2, {0, 1, 2, 3, 3, 0}};
  validate_table(table, 4, "t");
  CHECK_THROWS_WITH(validate_table(table, 3, "t"), "t: row 1 has expert 3, outside [0, 3)");
  CHECK_THROWS_AS(validate_table(table, 3, "t"), InputError);
  CHECK_THROWS_WITH(validate_table(table, 1, "t"), "t: top_k is 2, expected 1 to 1 (num_experts)");
  table.experts[5] = 3;
  CHECK_THROWS_WITH(validate_table(table, 4, "t"), "t: row 2 repeats expert 3");
  table.experts[5] = -1;
  CHECK_THROWS_WITH(validate_table(table, 4, "t"), "t: row 2 has expert -1, outside [0, 4)");
  table.experts.pop_back();
  CHECK_THROWS_WITH(validate_table(table, 4, "t"), "t: table of 5 entries, expected 3 x 2");
  CHECK_THROWS_AS(validate_table({0, 1, {}}, 4, "t"), InputError);
}

}  // namespace
}  // namespace hashep::test
