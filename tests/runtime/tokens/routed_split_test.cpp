// SPDX-License-Identifier: Apache-2.0
#include <random>

#include "hashep/hash_router.hpp"
#include "runtime/tokens/token_stream.hpp"
#include "tests/runtime/routing/test_files.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

constexpr HashFeature kFeatures[] = {HashFeature::token, HashFeature::position,
                                     HashFeature::previous, HashFeature::bigram};

std::vector<int32_t> route(const Router& router, const StreamBatch& batch) {
  std::vector<int32_t> experts(batch.ids.size() * 3, -7);
  router.route(batch.view(), {0, 16, 3}, experts);
  return experts;
}

/// Ids in [0, vocab_size) with some padding.
std::vector<int32_t> random_ids(std::mt19937_64& random, size_t count, int32_t vocab_size) {
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % (vocab_size + 1)) - 1;
  return ids;
}

TEST_CASE("hash routing does not depend on how a batch is cut into ranks") {
  std::mt19937_64 random(2);
  for (int round = 0; round < 40; ++round) {
    const VectorStream stream(random_ids(random, 1 + random() % 50, 30));
    const auto batch_tokens = static_cast<int64_t>(random() % 40);
    const auto seq_len = static_cast<int64_t>(1 + random() % 12);
    const auto step = static_cast<int64_t>(random() % 4);
    for (const HashFeature feature : kFeatures) {
      const HashRouter router({30, random(), feature});
      StreamBatch batch;
      read_batch(stream, {batch_tokens, seq_len, 1, 0}, step, batch);
      const auto whole = route(router, batch);
      for (const int ep_size : {2, 3, 7}) {
        CAPTURE(round, feature, ep_size, batch_tokens, seq_len, step);
        std::vector<int32_t> joined;
        for (int ep_rank = 0; ep_rank < ep_size; ++ep_rank) {
          read_batch(stream, {batch_tokens, seq_len, ep_size, ep_rank}, step, batch);
          const auto part = route(router, batch);
          joined.insert(joined.end(), part.begin(), part.end());
        }
        CHECK(joined == whole);
      }
    }
  }
}

}  // namespace
}  // namespace hashep::test
