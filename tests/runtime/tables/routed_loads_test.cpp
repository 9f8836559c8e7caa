// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokens/routed_loads.hpp"

#include "hashep/error.hpp"
#include "hashep/table_router.hpp"
#include "runtime/routing/table_builder.hpp"
#include "runtime/tables/table_loads.hpp"
#include "tests/runtime/routing/test_files.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

TEST_CASE("loads that are routed are those that follow from counts") {
  constexpr int64_t kTokens = 200'001;
  std::vector<int32_t> ids(kTokens);
  make_zipf_stream(50, 1.0, 9)->read(0, ids);
  ids[5] = kPaddingId;
  const VectorStream stream(ids);
  const RoutingTable table = build_random_table(50, 16, 3, 2);
  const auto loads_of = [](const RoutingTable& of, int64_t num_experts, const TokenStream& ids_of,
                           int64_t seq_len, int64_t limit) {
    const std::vector<RoutedLayer> layers = routed_layers(1, num_experts, of.top_k);
    return routed_loads(TableRouter({of}, num_experts), layers, ids_of, seq_len, limit).front();
  };
  CHECK(loads_of(table, 16, stream, 100, kTokens) ==
        table_loads(table, count_ids(stream, 50, kTokens), 16));
  CHECK(loads_of(table, 16, stream, 100, 2 * kTokens) ==
        loads_of(table, 16, stream, 100, kTokens));  // once

  // The end of a chunk must not shift positions.
  RoutingTable two{1, 1, {0}};
  two.spread = SpreadRows{.ids = {0}, .offsets = {0, 2}, .experts = {0, 1}};
  std::vector<int64_t> expected(2);
  for (int64_t i = 0; i < kTokens; ++i) ++expected[spread_row(i % 7, 0, 2)];
  CHECK(expected[0] != expected[1]);
  const VectorStream zeros(std::vector<int32_t>(kTokens, 0));
  CHECK(loads_of(two, 2, zeros, 7, kTokens) == expected);
}

}  // namespace
}  // namespace hashep::test
