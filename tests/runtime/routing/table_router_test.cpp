// SPDX-License-Identifier: Apache-2.0
#include "hashep/table_router.hpp"

#include <random>

#include "hashep/error.hpp"
#include "runtime/routing/table_builder.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

TEST_CASE("table routing copies each token's row, for every top_k") {
  constexpr int64_t kVocab = 20;
  std::mt19937_64 random(3);
  for (int top_k = 1; top_k <= 10; ++top_k) {
    const TableRouter router(build_random_table(kVocab, 16, top_k, 5), 16);
    TokenBatch batch;
    for (int i = 0; i < 200; ++i) {
      batch.ids.push_back(static_cast<int32_t>(random() % (kVocab + 1)) - 1);
    }
    std::vector<int32_t> expected;
    int num_padding = 0;
    for (const int32_t id : batch.ids) {
      num_padding += id == kPaddingId ? 1 : 0;
      for (int choice = 0; choice < top_k; ++choice) {
        const auto entry = static_cast<size_t>(id * top_k + choice);
        expected.push_back(id == kPaddingId ? -1 : router.table().experts[entry]);
      }
    }
    CAPTURE(top_k);
    CHECK(num_padding > 0);
    std::vector<int32_t> experts(expected.size(), -7);
    router.route(batch, experts);
    CHECK(experts == expected);
    CHECK(router.top_k() == top_k);
    CHECK(router.num_experts() == 16);
  }
}

TEST_CASE("a table router names a token whose id is outside its table") {
  for (const int top_k : {1, 3}) {
    const TableRouter router(build_random_table(10, 4, top_k, 0), 4);
    std::vector<int32_t> experts(static_cast<size_t>(3 * top_k));
    // Above, below, and the id that an unchecked product would wrap to.
    for (const int32_t id : {10, -2, std::numeric_limits<int32_t>::min()}) {
      const TokenBatch batch{{3, -1, id}, 500, -1, 8};
      CHECK_THROWS_WITH(router.route(batch, experts),
                        "token 502 has id " + std::to_string(id) + ", outside [0, 10)");
      CHECK_THROWS_AS(router.route(batch, experts), InputError);
    }
    // Far ahead in the batch, where its row would only be prefetched at first.
    TokenBatch batch{std::vector<int32_t>(100, 1), 0, -1, 8};
    batch.ids[60] = 2147483647;
    experts.resize(static_cast<size_t>(100 * top_k));
    CHECK_THROWS_WITH(router.route(batch, experts), ContainsSubstring("token 60 has id 2147"));
  }
}

TEST_CASE("table routing of no tokens, and into a span of another size") {
  const TableRouter router(build_random_table(10, 4, 2, 0), 4);
  router.route({}, {});
  std::vector<int32_t> experts(3);
  CHECK_THROWS_AS(router.route({{1}, 0, -1, 1}, experts), RunError);
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
