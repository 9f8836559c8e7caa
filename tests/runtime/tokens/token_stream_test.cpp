// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokens/token_stream.hpp"

#include <cmath>
#include <limits>
#include <numeric>

#include "hashep/error.hpp"
#include "tests/runtime/routing/test_files.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

std::vector<int32_t> read(const TokenStream& stream, int64_t first, int64_t count) {
  std::vector<int32_t> ids(count);
  stream.read(first, ids);
  return ids;
}

TEST_CASE("Zipf ids have the probabilities of the law") {
  constexpr int64_t kVocab = 50;
  constexpr int64_t kDraws = 400000;
  for (const double exponent : {0.0, 0.7, 1.0, 2.5}) {
    const auto stream = make_zipf_stream(kVocab, exponent, 9);
    const auto counts = count_ids(*stream, kVocab, kDraws);
    CHECK(std::accumulate(counts.begin(), counts.end(), int64_t{0}) == kDraws);
    double sum = 0.0;
    for (int id = 0; id < kVocab; ++id) sum += std::pow(id + 1.0, -exponent);
    for (int id = 0; id < kVocab; ++id) {
      const double expected = kDraws * std::pow(id + 1.0, -exponent) / sum;
      CAPTURE(exponent, id, expected);
      CHECK(std::abs(static_cast<double>(counts[id]) - expected) < 5.0 * std::sqrt(expected) + 1.0);
    }
    CHECK_FALSE(stream->size().has_value());
  }
}

TEST_CASE("Zipf ids are a function of seed and index") {
  const auto stream = make_zipf_stream(1000, 1.0, 3);
  const auto whole = read(*stream, 0, 500);
  CHECK(read(*stream, 123, 77) == std::vector<int32_t>(whole.begin() + 123, whole.begin() + 200));
  CHECK(read(*make_zipf_stream(1000, 1.0, 3), 0, 500) == whole);
  CHECK(read(*make_zipf_stream(1000, 1.0, 4), 0, 500) != whole);
  CHECK(read(*make_zipf_stream(1, 1.0, 4), 0, 3) == std::vector<int32_t>{0, 0, 0});
}

TEST_CASE("Zipf streams refuse what is no distribution") {
  CHECK_THROWS_AS(make_zipf_stream(0, 1.0, 0), InputError);
  CHECK_THROWS_AS(make_zipf_stream(int64_t{1} << 31, 1.0, 0), InputError);
  CHECK_THROWS_AS(make_zipf_stream(10, -0.1, 0), InputError);
  CHECK_THROWS_AS(make_zipf_stream(10, std::numeric_limits<double>::infinity(), 0), InputError);
  CHECK_THROWS_AS(make_zipf_stream(10, std::nan(""), 0), InputError);
}

TEST_CASE("the batches of all ranks and steps are the stream, cut") {
  std::vector<int32_t> ids(23);
  std::iota(ids.begin(), ids.end(), 100);
  const VectorStream stream(ids);
  for (const int64_t batch_tokens : {1, 7, 30}) {
    for (const int ep_size : {1, 3, 8}) {
      std::vector<int32_t> joined;
      StreamBatch batch;
      for (int64_t step = 0; step < 4; ++step) {
        for (int ep_rank = 0; ep_rank < ep_size; ++ep_rank) {
          read_batch(stream, {batch_tokens, 5, ep_size, ep_rank}, step, batch);
          CAPTURE(batch_tokens, ep_size, step, ep_rank);
          CHECK(batch.first_position == std::ssize(joined));
          CHECK(batch.seq_len == 5);
          CHECK(batch.previous_id == (joined.empty() ? -1 : joined.back()));
          joined.insert(joined.end(), batch.ids.begin(), batch.ids.end());
        }
      }
      CHECK(joined == read(stream, 0, 4 * batch_tokens));
    }
  }
}

TEST_CASE("the id before a wrap is the last of the stream, even if it is padding") {
  StreamBatch batch;
  read_batch(VectorStream({1, 2, -1}), {3, 2, 1, 0}, 1, batch);
  CHECK(batch == StreamBatch{{1, 2, -1}, 3, -1, 2});
  read_batch(VectorStream({1, 2, 9}), {3, 2, 1, 0}, 1, batch);
  CHECK(batch == StreamBatch{{1, 2, 9}, 3, 9, 2});
}

TEST_CASE("read_batch keeps its memory") {
  const VectorStream stream({1, 2, 3});
  StreamBatch batch;
  read_batch(stream, {100, 1, 1, 0}, 0, batch);
  const int32_t* const memory = batch.ids.data();
  for (int64_t step = 1; step < 5; ++step) {
    read_batch(stream, {100 - step, 1, 1, 0}, step, batch);
    CHECK(batch.ids.data() == memory);
  }
}

TEST_CASE("read_batch refuses an impossible split") {
  const VectorStream stream({1});
  StreamBatch batch;
  for (const BatchSplit& split : {BatchSplit{4, 0, 1, 0}, BatchSplit{4, 1, 0, 0},
                                  BatchSplit{4, 1, 2, 2}, BatchSplit{-1, 1, 1, 0}}) {
    CHECK_THROWS_AS(read_batch(stream, split, 0, batch), InputError);
  }
}

TEST_CASE("count_ids counts over several chunks and leaves unknown ids out") {
  const VectorStream stream({0, 1, 1, 5, -1, 3});
  const auto counts = count_ids(stream, 4, 6 * 50000 + 2);
  CHECK(counts == std::vector<int64_t>{50001, 100001, 0, 50000});
  CHECK(count_ids(stream, 2, 0) == std::vector<int64_t>{0, 0});
}

}  // namespace
}  // namespace hashep::test
