// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/stack_placements.hpp"

#include "hashep/error.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/hash_router.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

std::vector<std::unique_ptr<Router>> two_routers(HashFeature feature) {
  std::vector<std::unique_ptr<Router>> routers;
  for (const uint64_t seed : {1u, 2u}) {
    routers.push_back(std::make_unique<HashRouter>(HashRouterConfig{
        .feature = feature, .seed = seed, .num_experts = 12, .top_k = 2, .vocab_size = 100}));
  }
  return routers;
}

}  // namespace

TEST_CASE("placements are named by word or by file") {
  CHECK(parse_placement("contiguous").kind == PlacementKind::contiguous);
  CHECK(parse_placement("balanced").kind == PlacementKind::balanced);
  CHECK(parse_placement("a/b.json").kind == PlacementKind::file);
  CHECK(parse_placement("a/b.json").path == "a/b.json");
  CHECK_THROWS_WITH(parse_placement("random"), ContainsSubstring("known are contiguous, balanced"));
}

TEST_CASE("a corpus counted in pieces is routed as in one piece") {
  const int64_t tokens = 150001;  // two pieces and a part
  const auto stream = make_zipf_stream(100, 1.0, 9);
  TokenBatch whole;
  read_batch(*stream, {.batch_tokens = tokens, .seq_len = 1000}, 0, whole);
  for (const HashFeature feature : {HashFeature::bigram, HashFeature::position}) {
    const auto routers = two_routers(feature);
    const auto counts = count_expert_rows(routers, *stream, 1000, tokens);
    REQUIRE(counts.size() == 2);
    for (size_t layer = 0; layer < 2; ++layer) {
      std::vector<int32_t> experts(whole.ids.size() * 2);
      std::vector<CountWord> expected(12);
      routers[layer]->route(whole, experts);
      count_assignments(experts, expected);
      CHECK(counts[layer] == std::vector<int64_t>(expected.begin(), expected.end()));
    }
    CHECK(counts[0] != counts[1]);
  }
}

TEST_CASE("placements that differ have different digests") {
  const auto routers = two_routers(HashFeature::token);
  const auto stream = make_zipf_stream(100, 1.0, 9);
  const auto contiguous = make_placements(PlacementKind::contiguous, routers, *stream, 10, 4);
  const auto balanced = make_placements(PlacementKind::balanced, routers, *stream, 10, 4);
  CHECK(contiguous.size() == 2);
  CHECK(placement_digest(contiguous) != placement_digest(balanced));
  CHECK(placement_digest(balanced) ==
        placement_digest(make_placements(PlacementKind::balanced, routers, *stream, 10, 4)));
}
