// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/stack_placements.hpp"

#include "hashep/error.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/hash_router.hpp"
#include "runtime/tokens/routed_loads.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

const std::vector<RoutedLayer> kLayers = routed_layers(2, 12, 2);

HashRouter hash_router(HashFeature feature) {
  return HashRouter({.vocab_size = 100, .seed = 1, .feature = feature});
}

std::vector<Placement> place(PlacementKind kind, const Router& router, const TokenStream& stream) {
  return make_placements({.kind = kind, .path = ""}, router, kLayers, stream, 10, one_node(4));
}

}  // namespace

TEST_CASE("a corpus counted in pieces is routed as in one piece") {
  const int64_t tokens = 150001;  // two pieces and a part
  const auto stream = make_zipf_stream(100, 1.0, 9);
  StreamBatch whole;
  read_batch(*stream, {.batch_tokens = tokens, .seq_len = 1000}, 0, whole);
  for (const HashFeature feature : {HashFeature::bigram, HashFeature::position}) {
    const HashRouter router = hash_router(feature);
    const auto counts = routed_loads(router, kLayers, *stream, 1000, tokens);
    REQUIRE(counts.size() == 2);
    for (size_t layer = 0; layer < 2; ++layer) {
      std::vector<int32_t> experts(whole.ids.size() * 2);
      std::vector<CountWord> expected(12);
      router.route(whole.view(), kLayers[layer], experts);
      count_assignments(experts, expected);
      CHECK(counts[layer] == std::vector<int64_t>(expected.begin(), expected.end()));
    }
    CHECK(counts[0] != counts[1]);
  }
}

TEST_CASE("placements that differ have different digests") {
  const HashRouter router = hash_router(HashFeature::token);
  const auto stream = make_zipf_stream(100, 1.0, 9);
  const auto contiguous = place(PlacementKind::contiguous, router, *stream);
  const auto balanced = place(PlacementKind::balanced, router, *stream);
  CHECK(contiguous.size() == 2);
  CHECK(placement_digest(contiguous) != placement_digest(balanced));
  CHECK(placement_digest(balanced) ==
        placement_digest(place(PlacementKind::balanced, router, *stream)));
}
