// SPDX-License-Identifier: Apache-2.0
#include <xxhash.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "hashep/error.hpp"
#include "runtime/tokens/id_histogram.hpp"
#include "runtime/tokens/token_counts.hpp"
#include "tests/runtime/routing/test_files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

namespace hashep::test {
namespace {

std::vector<int32_t> random_ids(std::mt19937_64& random, size_t size, int64_t vocab_size) {
  std::vector<int32_t> ids(size);
  for (int32_t& id : ids) {
    // Runs of a frequent id, padding, and all others.
    const uint64_t draw = random() % 8;
    id = draw < 3 ? 0 : draw == 3 ? -1 : static_cast<int32_t>(random() % uint64_t(vocab_size));
  }
  return ids;
}

std::vector<int64_t> naive_counts(const std::vector<int32_t>& ids, int64_t vocab_size) {
  std::vector<int64_t> counts(vocab_size);
  for (const int32_t id : ids) {
    if (id >= 0 && id < vocab_size) ++counts[id];
  }
  return counts;
}

TEST_CASE("a histogram counts known ids, padding and unknown ids apart, from spans of any length") {
  std::mt19937_64 random(31);
  for (int round = 0; round < 30; ++round) {
    const auto vocab_size = static_cast<int64_t>(1 + random() % 50);
    IdHistogram histogram(vocab_size);
    std::vector<int32_t> all;
    for (int part = 0; part < 5; ++part) {
      std::vector<int32_t> ids = random_ids(random, random() % 40, vocab_size + 3);
      if (part == 2) ids.insert(ids.end(), {-2, INT32_MIN, INT32_MAX});
      histogram.add(ids);
      all.insert(all.end(), ids.begin(), ids.end());
    }
    const auto counts = naive_counts(all, vocab_size);
    CHECK(histogram.counts() == counts);
    const auto padding = std::count(all.begin(), all.end(), -1);
    CHECK(histogram.padding() == padding);
    CHECK(histogram.padding() + histogram.unknown() +
              std::accumulate(counts.begin(), counts.end(), int64_t{0}) ==
          std::ssize(all));
    CHECK(histogram.unknown() >= 3);
  }
}

TEST_CASE("files of several types are counted as one corpus, with one digest") {
  const TempDir dir;
  constexpr int64_t kVocab = 300;
  std::mt19937_64 random(32);
  // More than one chunk, and no multiple of one.
  const auto first = random_ids(random, 40001, kVocab);
  const auto second = random_ids(random, 17, kVocab);
  std::vector<int32_t> all = first;
  all.insert(all.end(), second.begin(), second.end());

  write_bytes(dir.file("a.bin"), bytes_of(first));
  write_bytes(
      dir.file("b.npy"),
      npy_bytes("<i8", "(17,)", bytes_of(std::vector<int64_t>(second.begin(), second.end()))));
  const std::vector<TokenFile> two = {{dir.file("a.bin"), TokenDtype::i32, ""},
                                      {dir.file("b.npy"), {}, ""}};
  std::vector<int64_t> told;
  const TokenCounts counts =
      count_tokens(two, kVocab, [&](int64_t bytes) { told.push_back(bytes); });
  CHECK(counts.counts == naive_counts(all, kVocab));
  CHECK(counts.padding == std::count(all.begin(), all.end(), -1));
  CHECK(counts.total + counts.padding == std::ssize(all));
  CHECK(counts.files == 2);
  CHECK(counts.digest == XXH64(all.data(), all.size() * sizeof(int32_t), 0));
  REQUIRE_FALSE(told.empty());
  CHECK(std::is_sorted(told.begin(), told.end()));
  CHECK(told.back() == token_file_bytes(two));

  write_bytes(dir.file("all.bin"), bytes_of(all));
  const std::vector<TokenFile> one = {{dir.file("all.bin"), TokenDtype::i32, ""}};
  TokenCounts joined = count_tokens(one, kVocab);
  CHECK(joined.files == 1);
  joined.files = 2;
  CHECK(joined == counts);
}

TEST_CASE("an id outside the vocabulary is told with its file and place") {
  const TempDir dir;
  std::vector<uint16_t> ids(20000, 3);
  ids[18000] = 7;
  ids[18001] = 9;
  const std::string path = dir.file("a.bin");
  write_bytes(path, bytes_of(ids));
  const std::vector<TokenFile> files = {{path, TokenDtype::u16, ""}};
  CHECK_THROWS_WITH(count_tokens(files, 7),
                    ContainsSubstring(path + ": token 18000 has id 7, outside [0, 7)"));
  CHECK_THROWS_AS(count_tokens(files, 7), InputError);
  CHECK(count_tokens(files, 10).total == 20000);

  // 65535 is an id of u16, not padding.
  write_bytes(path, bytes_of(std::vector<uint16_t>{65535}));
  CHECK_THROWS_AS(count_tokens(files, 65535), InputError);
  CHECK(count_tokens(files, 65536).padding == 0);

  // Unless it is said to be.
  const std::vector<TokenFile> padded = {{.path = path, .padding_id = 65535}};
  write_bytes(path, bytes_of(std::vector<uint16_t>{3, 65535, 65535}));
  const TokenCounts counts = count_tokens(padded, 7);
  CHECK(counts.total == 1);
  CHECK(counts.padding == 2);
  CHECK(counts.counts[3] == 1);

  CHECK_THROWS_AS(count_tokens(files, 0), InputError);
  const std::vector<TokenFile> missing = {{dir.file("no.bin"), TokenDtype::u16, ""}};
  CHECK_THROWS_AS(count_tokens(missing, 7), InputError);
  CHECK_THROWS_AS(token_file_bytes(missing), InputError);
}

}  // namespace
}  // namespace hashep::test
