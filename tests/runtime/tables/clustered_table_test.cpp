// SPDX-License-Identifier: Apache-2.0
#include "runtime/tables/clustered_table.hpp"

#include <algorithm>
#include <cmath>
#include <random>

#include "hashep/dtype.hpp"
#include "hashep/error.hpp"
#include "runtime/tables/kmeans.hpp"
#include "tests/runtime/routing/test_files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

namespace hashep::test {
namespace {

std::string safetensors_of(const std::string& name, const std::string& dtype, int64_t rows,
                           int64_t dim, const std::string& data) {
  return safetensors_bytes("{\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":[)" +
                               std::to_string(rows) + "," + std::to_string(dim) +
                               R"(],"data_offsets":[0,)" + std::to_string(data.size()) + "]}}",
                           data);
}

std::vector<float> random_rows(std::mt19937_64& random, int64_t rows, int64_t dim) {
  std::normal_distribution<float> normal;
  std::vector<float> values(rows * dim);
  for (float& value : values) value = normal(random);
  return values;
}

/// Row v lies near corner v % blobs of a wide simplex.
std::vector<float> blobs(std::mt19937_64& random, int64_t rows, int64_t dim, int64_t num_blobs) {
  std::vector<float> values = random_rows(random, rows, dim);
  for (int64_t row = 0; row < rows; ++row) {
    values[row * dim + row % num_blobs] += 100.0f;
  }
  return values;
}

TEST_CASE("k-means finds clusters that lie apart, the same with any number of threads") {
  const TempDir dir;
  std::mt19937_64 random(51);
  constexpr int64_t kRows = 700;
  constexpr int64_t kDim = 37;
  constexpr int64_t kBlobs = 11;
  const auto values = blobs(random, kRows, kDim, kBlobs);
  write_bytes(dir.file("e.safetensors"), safetensors_of("e", "F32", kRows, kDim, bytes_of(values)));
  const EmbeddingFile file(dir.file("e.safetensors"), kRows);
  REQUIRE(file.dim() == kDim);
  int64_t iterations = 0;
  const auto centroids = find_centroids(file, {.num_clusters = kBlobs, .seed = 3, .threads = 1},
                                        [&](int64_t, int64_t) { ++iterations; });
  REQUIRE(std::ssize(centroids) == kBlobs * kDim);
  CHECK(iterations < 20);
  for (const int threads : {2, 5}) {
    CHECK(find_centroids(file, {.num_clusters = kBlobs, .seed = 3, .threads = threads}) ==
          centroids);
  }
  const auto nearest = nearest_centroids(file, centroids, 1, 2);
  std::vector<int32_t> distinct(nearest.begin(), nearest.begin() + kBlobs);
  for (size_t row = 0; row < nearest.size(); ++row) {
    CHECK(nearest[row] == distinct[row % static_cast<size_t>(kBlobs)]);
  }
  std::sort(distinct.begin(), distinct.end());
  CHECK(std::unique(distinct.begin(), distinct.end()) == distinct.end());
}

TEST_CASE("each seed of k-means finds all clusters, as each centroid starts far from the others") {
  const TempDir dir;
  std::mt19937_64 random(54);
  write_bytes(dir.file("e.npy"),
              npy_bytes("<f4", "(600, 12)", bytes_of(blobs(random, 600, 12, 8))));
  const EmbeddingFile file(dir.file("e.npy"), 600);
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const auto nearest = nearest_centroids(
        file, find_centroids(file, {.num_clusters = 8, .seed = seed, .threads = 1}), 1, 1);
    std::vector<int64_t> sizes(8);
    for (const int32_t cluster : nearest) ++sizes[cluster];
    CAPTURE(seed);
    CHECK(sizes == std::vector<int64_t>(8, 75));
  }
}

TEST_CASE("a cluster that is left without a row takes a far one") {
  // Three clusters are seeded from 96 of the 960 rows, each tenth, which are all the same.
  const TempDir dir;
  std::vector<float> values(960, 0.0f);
  for (size_t row = 0; row < values.size(); ++row) {
    if (row % 10 == 1 || row % 10 == 2) values[row] = 100.0f * static_cast<float>(row % 10);
  }
  write_bytes(dir.file("e.npy"), npy_bytes("<f4", "(960, 1)", bytes_of(values)));
  const EmbeddingFile file(dir.file("e.npy"), 960);
  auto centroids = find_centroids(file, {.num_clusters = 3});
  std::sort(centroids.begin(), centroids.end());
  CHECK(centroids == std::vector<float>{0.0f, 100.0f, 200.0f});
}

TEST_CASE("the nearest centroids are those of a plain search, whatever the sizes") {
  const TempDir dir;
  std::mt19937_64 random(52);
  for (int round = 0; round < 12; ++round) {
    const auto rows = static_cast<int64_t>(1 + random() % 150);
    const auto dim = static_cast<int64_t>(1 + random() % 300);
    const auto num = static_cast<int64_t>(1 + random() % 40);
    const auto k = static_cast<int>(1 + random() % num);
    const auto values = random_rows(random, rows, dim);
    const auto centroids = random_rows(random, num, dim);
    write_bytes(dir.file("e.npy"),
                npy_bytes("<f4", "(" + std::to_string(rows) + ", " + std::to_string(dim) + ")",
                          bytes_of(values)));
    const EmbeddingFile file(dir.file("e.npy"), rows);
    const auto nearest = nearest_centroids(file, centroids, k, 2);
    int64_t wrong = 0;
    for (int64_t row = 0; row < rows; ++row) {
      std::vector<double> distances;
      for (int64_t c = 0; c < num; ++c) {
        double sum = 0.0;
        for (int64_t d = 0; d < dim; ++d) {
          const double difference = double{values[row * dim + d]} - double{centroids[c * dim + d]};
          sum += difference * difference;
        }
        distances.push_back(sum);
      }
      std::vector<double> in_order = distances;
      std::sort(in_order.begin(), in_order.end());
      for (int j = 0; j < k; ++j) {
        const auto c = static_cast<size_t>(nearest[row * k + j]);
        const double expected = in_order[j];
        if (std::abs(distances[c] - expected) > 1e-4 * (1.0 + expected)) ++wrong;
      }
    }
    CAPTURE(round, rows, dim, num, k);
    CHECK(wrong == 0);
    CHECK_NOTHROW(validate_table(build_clustered_table(nearest, num, k), num, "clustered"));
  }
}

TEST_CASE("fewer different rows than clusters are no harm, numbers that are not finite are told") {
  const TempDir dir;
  const std::string path = dir.file("e.npy");
  std::vector<float> values(20, 1.0f);
  write_bytes(path, npy_bytes("<f4", "(10, 2)", bytes_of(values)));
  const EmbeddingFile same(path, 10);
  const auto centroids = find_centroids(same, {.num_clusters = 4});
  CHECK(std::count(centroids.begin(), centroids.end(), 1.0f) == 8);
  CHECK_NOTHROW(
      validate_table(build_clustered_table(nearest_centroids(same, centroids, 3, 1), 4, 3), 4, ""));

  values[15] = NAN;
  write_bytes(path, npy_bytes("<f4", "(10, 2)", bytes_of(values)));
  const EmbeddingFile broken(path, 10);
  CHECK_THROWS_WITH(find_centroids(broken, {.num_clusters = 4}),
                    ContainsSubstring(path + ": the embedding of id 7 is not finite"));
  CHECK_THROWS_AS(nearest_centroids(broken, centroids, 1, 2), InputError);
}

TEST_CASE("embeddings are read from safetensors and npy of any floating type, or told amiss") {
  const TempDir dir;
  const std::vector<float> values = {1.0f, -2.5f, 0.5f, 3.0f, 4.0f, -8.0f};
  std::vector<BFloat16> narrow_values;
  for (const float value : values) narrow_values.emplace_back(value);
  const std::string path = dir.file("e.safetensors");
  const auto row_1 = [](const EmbeddingFile& file) {
    std::vector<float> out(2);
    file.read(1, 1, out);
    return out;
  };
  write_bytes(path, safetensors_of("x", "BF16", 2, 3, bytes_of(narrow_values)));
  CHECK(row_1(EmbeddingFile(path, 2)) == std::vector<float>{4.0f, -8.0f});
  // 1, 1, 1, 1, 2, -2 in binary16.
  const std::vector<uint16_t> halves = {0x3c00, 0x3c00, 0x3c00, 0x3c00, 0x4000, 0xc000};
  write_bytes(dir.file("e.npy"), npy_bytes("<f2", "(2, 3)", bytes_of(halves)));
  CHECK(row_1(EmbeddingFile(dir.file("e.npy"), 2)) == std::vector<float>{2.0f, -2.0f});

  const std::string two = R"("model.embed_tokens.weight":{"dtype":"F32","shape":[2,3],)"
                          R"("data_offsets":[0,24]},"w":{"dtype":"F32","shape":[2,3],)"
                          R"("data_offsets":[24,48]})";
  write_bytes(path, safetensors_bytes("{" + two + "}", bytes_of(values) + std::string(24, '\0')));
  CHECK(row_1(EmbeddingFile(path, 2)) == std::vector<float>{4.0f, -8.0f});

  CHECK_THROWS_WITH(EmbeddingFile(path, 3), ContainsSubstring("[2, 3], expected [3, d]"));
  write_bytes(path, safetensors_of("x", "I32", 2, 3, bytes_of(values)));
  CHECK_THROWS_WITH(EmbeddingFile(path, 2), ContainsSubstring("found 0"));
  CHECK_THROWS_AS(EmbeddingFile(path, 2), InputError);
  write_bytes(dir.file("e.npy"), npy_bytes("<i4", "(2, 3)", bytes_of(values)));
  CHECK_THROWS_AS(EmbeddingFile(dir.file("e.npy"), 2), InputError);
  CHECK_THROWS_AS(EmbeddingFile(dir.file("e.txt"), 2), InputError);
}

TEST_CASE("a dispersed table deals each cluster evenly to all experts") {
  std::mt19937_64 random(53);
  for (int round = 0; round < 20; ++round) {
    const auto num_experts = static_cast<int64_t>(1 + random() % 12);
    const auto top_k = static_cast<int>(1 + random() % num_experts);
    std::vector<int32_t> cluster(1 + random() % 200);
    for (int32_t& own : cluster) own = static_cast<int32_t>(random() % 5);
    const RoutingTable table = build_dispersed_table(cluster, num_experts, top_k, 8);
    CAPTURE(round, num_experts, top_k);
    CHECK_NOTHROW(validate_table(table, num_experts, "dispersed"));
    for (int32_t c = 0; c < 5; ++c) {
      std::vector<int64_t> uses(num_experts);
      for (size_t i = 0; i < table.experts.size(); ++i) {
        if (cluster[i / static_cast<size_t>(top_k)] == c) {
          ++uses[table.experts[i]];
        }
      }
      const auto [least, most] = std::minmax_element(uses.begin(), uses.end());
      CHECK(*most - *least <= 1);
    }
    CHECK(table == build_dispersed_table(cluster, num_experts, top_k, 8));
    if (cluster.size() > 100 && num_experts > 3 && top_k < 3) {
      CHECK_FALSE(table == build_dispersed_table(cluster, num_experts, top_k, 9));
    }
  }
}

}  // namespace
}  // namespace hashep::test
