// SPDX-License-Identifier: Apache-2.0
#include "hashep/hash_router.hpp"

#include <algorithm>
#include <array>
#include <random>
#include <set>

#include "hashep/error.hpp"
#include "tests/runtime/routing/hash_router_known_answers.hpp"
#include "tests/runtime/routing/test_files.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

constexpr HashFeature kFeatures[] = {HashFeature::token, HashFeature::position,
                                     HashFeature::previous, HashFeature::bigram};

std::vector<int32_t> route(const Router& router, const RoutedLayer& layer,
                           const StreamBatch& batch) {
  std::vector<int32_t> experts(batch.ids.size() * static_cast<size_t>(layer.top_k), -7);
  router.route(batch.view(), layer, experts);
  return experts;
}

/// Ids in [0, vocab_size) with some padding.
std::vector<int32_t> random_ids(std::mt19937_64& random, size_t count, int32_t vocab_size) {
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % (vocab_size + 1)) - 1;
  return ids;
}

TEST_CASE("hash routing equals an independent implementation of XXH64") {
  const auto answers = known_answers();
  REQUIRE(answers.size() == 16);
  for (const KnownAnswer& answer : answers) {
    CAPTURE(answer.feature, answer.seed, answer.num_experts, answer.top_k);
    // Layer l hashes with seed + l.
    for (const int64_t layer : {0, 3}) {
      const HashRouter router(
          {kKnownAnswerVocab, answer.seed - static_cast<uint64_t>(layer), answer.feature});
      const RoutedLayer routed{layer, answer.num_experts, answer.top_k};
      CHECK(route(router, routed, known_answer_batch()) == answer.experts);
    }
  }
}

TEST_CASE("hash routing gives distinct experts in range, and none to padding") {
  std::mt19937_64 random(1);
  int64_t num_padding = 0;
  for (int round = 0; round < 200; ++round) {
    const auto num_experts = static_cast<int64_t>(1 + random() % 40);
    const auto top_k = static_cast<int>(1 + random() % std::min<uint64_t>(num_experts, 9));
    const HashFeature feature = kFeatures[random() % 4];
    const HashRouter router({50, random(), feature});
    const RoutedLayer layer{0, num_experts, top_k};
    const StreamBatch batch{random_ids(random, random() % 60, 50), 0, -1, 1 + round % 13};
    CAPTURE(round, feature, num_experts, top_k);

    const auto experts = route(router, layer, batch);
    CHECK(route(router, layer, batch) == experts);
    for (size_t i = 0; i < batch.ids.size(); ++i) {
      const auto first = experts.begin() + static_cast<int64_t>(i) * top_k;
      const std::set<int32_t> chosen(first, first + top_k);
      if (batch.ids[i] == kPaddingId) {
        ++num_padding;
        CHECK(chosen == std::set<int32_t>{-1});
      } else {
        CHECK(static_cast<int>(chosen.size()) == top_k);
        CHECK(*chosen.begin() >= 0);
        CHECK(*chosen.rbegin() < num_experts);
      }
    }
  }
  CHECK(num_padding > 0);
}

TEST_CASE("seeds and features route differently, equal tokens alike") {
  const StreamBatch batch{std::vector<int32_t>(100, 5), 0, -1, 10};
  const auto experts_of = [&](HashFeature feature, uint64_t seed) {
    return route(HashRouter({6, seed, feature}), {0, 1000, 1}, batch);
  };
  const auto by_token = experts_of(HashFeature::token, 0);
  CHECK(by_token == std::vector<int32_t>(100, by_token[0]));
  CHECK(experts_of(HashFeature::token, 1) != by_token);

  const auto by_position = experts_of(HashFeature::position, 0);
  CHECK(std::set<int32_t>(by_position.begin(), by_position.end()).size() == 10);
  CHECK(std::equal(by_position.begin(), by_position.begin() + 90, by_position.begin() + 10));

  // One expert after itself, another at sequence starts, where the previous id is -1.
  const auto by_previous = experts_of(HashFeature::previous, 0);
  CHECK(by_previous[0] != by_previous[1]);
  CHECK(by_previous[10] == by_previous[0]);
  CHECK(by_previous[9] == by_previous[1]);
}

TEST_CASE("every hash router names a token whose id is outside the vocabulary") {
  for (const HashFeature feature : kFeatures) {
    const HashRouter router({10, 0, feature});
    const RoutedLayer layer{0, 4, 2};
    CHECK_THROWS_WITH(route(router, layer, {{1, 9, 10}, 1000, -1, 8}),
                      "token 1002 has id 10, outside [0, 10)");
    CHECK_THROWS_WITH(route(router, layer, {{1, -2, 3}, 1000, -1, 8}),
                      "token 1001 has id -2, outside [0, 10)");
    CHECK_THROWS_AS(route(router, layer, {{1, -2, 3}, 1000, -1, 8}), InputError);
  }
}

TEST_CASE("a hash router refuses impossible sizes") {
  const auto route_none = [](int64_t num_experts, int top_k, int64_t vocab_size) {
    HashRouter({vocab_size}).route({}, {0, num_experts, top_k}, {});
  };
  CHECK_THROWS_WITH(route_none(4, 5, 10), "hash router: top_k is 5, expected 1 to 4 (num_experts)");
  CHECK_THROWS_AS(route_none(4, 5, 10), InputError);
  CHECK_THROWS_AS(route_none(4, 0, 10), InputError);
  CHECK_THROWS_AS(route_none(0, 1, 10), InputError);
  CHECK_THROWS_AS(HashRouter({0}), InputError);
  CHECK_THROWS_AS(HashRouter({int64_t{1} << 31}), InputError);
  CHECK_NOTHROW(route_none(4, 4, 10));

  const std::array<int32_t, 1> ids = {1};
  std::vector<int32_t> experts(1);
  CHECK_THROWS_AS(HashRouter({10}).route({.ids = ids}, {0, 4, 2}, experts), RunError);
}

TEST_CASE("ranks whose hash routers differ in anything have different digests") {
  const std::set<uint64_t> digests = {HashRouter({10}).digest(), HashRouter({11}).digest(),
                                      HashRouter({10, 1}).digest(),
                                      HashRouter({10, 0, HashFeature::bigram}).digest()};
  CHECK(digests.size() == 4);
  CHECK(HashRouter({10, 1}).digest() == HashRouter({10, 1}).digest());
}

}  // namespace
}  // namespace hashep::test
