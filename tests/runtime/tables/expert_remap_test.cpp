// SPDX-License-Identifier: Apache-2.0
#include "runtime/tables/expert_remap.hpp"

#include <algorithm>
#include <numeric>
#include <random>

#include "hashep/error.hpp"
#include "runtime/routing/table_builder.hpp"
#include "runtime/tables/spread_builder.hpp"
#include "runtime/tables/table_loads.hpp"
#include "tests/runtime/routing/test_files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

namespace hashep::test {
namespace {

TEST_CASE("a remap is read from JSON and from text") {
  const TempDir dir;
  const ExpertRemap expected{{2, -1, 0, 1}, 3};
  write_bytes(dir.file("r.json"), "[2, -1, 0, 1]\n");
  CHECK(load_expert_remap(dir.file("r.json")) == expected);
  write_bytes(dir.file("r.txt"), "2\n-1 0\t1\n\n");
  CHECK(load_expert_remap(dir.file("r.txt")) == expected);
  for (const std::string text : {"{\"0\": 1}", "[0, 1.5]", "[0, \"1\"]", "[0, 4294967296]",
                                 "[0, 18446744073709551615]", "[0,"}) {
    write_bytes(dir.file("r.json"), text);
    CHECK_THROWS_AS(load_expert_remap(dir.file("r.json")), InputError);
  }
  for (const std::string text : {"0 one", "0 1.5", "0 4294967296", "", "-1 -1"}) {
    write_bytes(dir.file("r.txt"), text);
    CHECK_THROWS_AS(load_expert_remap(dir.file("r.txt")), InputError);
  }
}

TEST_CASE("the experts that are left have the numbers from 0, each once") {
  CHECK_THROWS_WITH(
      make_expert_remap({0, 2, -1}, "r"),
      "r: expert 1 becomes 2, outside [0, 2), the experts that are left (-1: pruned)");
  CHECK_THROWS_WITH(make_expert_remap({0, -2}, "r"), ContainsSubstring("expert 1 becomes -2"));
  CHECK_THROWS_WITH(make_expert_remap({1, 0, 1, -1}, "r"),
                    "r: expert 2 becomes 1, as does expert 0");
  CHECK(make_expert_remap({1, 0}, "r").num_experts == 2);
}

TEST_CASE("renumbered tables go where their experts went, and back") {
  std::mt19937_64 random(4);
  for (int round = 0; round < 10; ++round) {
    const auto vocab_size = static_cast<int64_t>(1 + random() % 50);
    std::vector<int64_t> counts(vocab_size);
    for (int64_t& count : counts) count = static_cast<int64_t>(random() % 100);
    const SpreadCounts spread = spread_counts(counts, 12, 3, 0.5);
    RoutingTable table =
        fold_spread_rows(build_random_table(std::ssize(spread.counts), 12, 3, random()), spread);
    table.spread->seed = 7;
    std::vector<int32_t> new_of(12);
    std::iota(new_of.begin(), new_of.end(), 0);
    std::shuffle(new_of.begin(), new_of.end(), random);
    std::vector<int32_t> old_of(12);
    for (int32_t old = 0; old < 12; ++old) {
      old_of[new_of[old]] = old;
    }
    const RoutingTable there =
        remap_table(table, make_expert_remap(new_of, "r"), PrunedChoice::refuse, counts, "t");
    for (size_t i = 0; i < table.experts.size(); ++i) {
      REQUIRE(there.experts[i] == new_of[table.experts[i]]);
    }
    CHECK(there.spread->seed == 7);
    CHECK(remap_table(there, make_expert_remap(old_of, "r"), PrunedChoice::refuse, counts, "t") ==
          table);
  }
}

TEST_CASE("a pruned choice is refused, or goes to the least-loaded expert that is not in its row") {
  const RoutingTable table{3, 2, {0, 1, 1, 2, 3, 0}};
  const ExpertRemap remap = make_expert_remap({0, -1, 1, 2}, "r");
  const std::vector<int64_t> counts = {5, 9, 1};
  CHECK_THROWS_WITH(remap_table(table, remap, PrunedChoice::refuse, counts, "t"),
                    "t: row 0 has the pruned expert 1 (fill least-loaded gives such choices to "
                    "others)");
  // Kept: expert 0 (new 0) 5 + 1, expert 2 (new 1) 9, expert 3 (new 2) 1. Row 1, the most frequent,
  // takes new 2, which then has 10; row 0 takes new 1 of 9.
  const RoutingTable filled = remap_table(table, remap, PrunedChoice::least_loaded, counts, "t");
  CHECK(filled == RoutingTable{3, 2, {0, 1, 2, 1, 2, 0}});
  CHECK_THROWS_WITH(remap_table(table, make_expert_remap({0, -1, -1, -1}, "r"),
                                PrunedChoice::least_loaded, counts, "t"),
                    "t: 2 choices of an id, but 1 experts are left");
  CHECK_THROWS_WITH(
      remap_table(table, make_expert_remap({0, 1, 2}, "r"), PrunedChoice::refuse, counts, "t"),
      "t: row 2 has expert 3, outside [0, 3)");
}

TEST_CASE("filled tables are whole, keep what was not pruned, and stay near even") {
  std::mt19937_64 random(6);
  const std::vector<int64_t> counts(2000, 1);
  const SpreadCounts none = spread_counts(counts, 32, 4, 1.0);
  const RoutingTable table = build_random_table(std::ssize(none.counts), 32, 4, 1);
  std::vector<int32_t> new_of(32, -1);
  for (int32_t old = 0; old < 24; ++old) new_of[old] = old;
  std::shuffle(new_of.begin(), new_of.end(), random);
  const RoutingTable filled =
      remap_table(table, make_expert_remap(new_of, "r"), PrunedChoice::least_loaded, counts, "t");
  for (size_t i = 0; i < table.experts.size(); ++i) {
    const int32_t kept = new_of[table.experts[i]];
    if (kept >= 0) REQUIRE(filled.experts[i] == kept);
  }
  CHECK(load_factor(table_loads(filled, counts, 24)) < 1.01);
  CHECK(load_factor(table_loads(table, counts, 32)) > 1.05);
}

}  // namespace
}  // namespace hashep::test
