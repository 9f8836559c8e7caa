// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/stack_routing.hpp"

#include <algorithm>

#include "hashep/table_router.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

uint64_t digest_of(const RoutingTable& table) {
  std::vector<std::unique_ptr<Router>> routers;
  routers.push_back(std::make_unique<TableRouter>(table, 4));
  return table_digest(routers);
}

TEST_CASE("ranks whose tables differ in anything have different digests") {
  RoutingTable table{3, 1, {0, 1, 2}};
  std::vector<uint64_t> digests = {digest_of(table)};
  table.spread = SpreadRows{.ids = {0}, .offsets = {0, 2}, .experts = {0, 3}};
  digests.push_back(digest_of(table));
  table.spread->experts[1] = 2;
  digests.push_back(digest_of(table));
  table.spread->seed = 1;
  digests.push_back(digest_of(table));
  table.spread->ids = {1};
  digests.push_back(digest_of(table));
  table.spread->offsets = {0, 3};
  digests.push_back(digest_of(table));
  table.experts[2] = 3;
  digests.push_back(digest_of(table));
  CHECK(digest_of(table) == digests.back());
  std::sort(digests.begin(), digests.end());
  CHECK(std::adjacent_find(digests.begin(), digests.end()) == digests.end());
}

}  // namespace
}  // namespace hashep::test
