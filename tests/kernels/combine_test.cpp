// SPDX-License-Identifier: Apache-2.0
#include "kernels/rows/combine.hpp"

#include <random>
#include <vector>

#include "hashep/error.hpp"
#include "tests/kernels/kernel_inputs.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

struct Case {
  DType dtype = DType::f32;
  int64_t tokens = 0;
  int64_t cols = 0;
  int top_k = 1;
  bool weighted = false;
  bool shared = false;
};

/// What combine_rows means, as plain fp32 loops.
Matrix plain_combine(const Case& c, const Matrix& rows, const std::vector<int64_t>& row_of,
                     const std::vector<float>& weights, const Matrix& shared) {
  std::vector<float> all;
  for (int64_t token = 0; token < c.tokens; ++token) {
    std::vector<float> sum(c.cols, 0.0f);
    for (int j = 0; j < c.top_k; ++j) {
      const auto assignment = static_cast<size_t>(token * c.top_k + j);
      if (row_of[assignment] < 0) continue;
      const float weight = c.weighted ? weights[assignment] : 1.0f / static_cast<float>(c.top_k);
      const std::vector<float> row = rows.row(row_of[assignment]);
      for (size_t i = 0; i < sum.size(); ++i) {
        sum[i] = j == 0 ? weight * row[i] : sum[i] + weight * row[i];
      }
    }
    if (c.shared && row_of[token * c.top_k] >= 0) {
      const std::vector<float> row = shared.row(token);
      for (size_t i = 0; i < sum.size(); ++i) sum[i] = sum[i] + row[i];
    }
    all.insert(all.end(), sum.begin(), sum.end());
  }
  Matrix y(c.dtype, c.tokens, c.cols);
  y.set(all);
  return y;
}

/// Assignments of all tokens but every fifth get the rows, from the last one down.
std::vector<int64_t> rows_with_padding(int64_t tokens, int top_k) {
  std::vector<int64_t> row_of;
  int64_t next = tokens * top_k - 1;
  for (int64_t token = 0; token < tokens; ++token) {
    for (int j = 0; j < top_k; ++j) row_of.push_back(token % 5 == 2 ? -1 : next--);
  }
  return row_of;
}

/// The rows as those of two experts, which begin at different places; the second one's numbers do
/// not begin with 0, as a source's rows for an expert do not.
std::pair<std::vector<int32_t>, std::vector<ExpertPlace>> two_experts(
    const Matrix& rows, std::vector<int64_t>& row_of) {
  std::vector<int32_t> experts;
  auto* const data = const_cast<std::byte*>(rows.view().data);
  const int64_t half = rows.view().rows / 2;
  for (int64_t& row : row_of) {
    experts.push_back(row < 0 ? -1 : static_cast<int32_t>(row < half ? 0 : 1));
    if (row >= half) row += 1000;
  }
  return {experts, {{data, 0}, {data, -1000}}};
}

}  // namespace

TEST_CASE("combine_rows equals plain fp32 loops to the bit and writes every element") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t cols : {1, 7, 64, 1025}) {
      for (const int64_t tokens : {0, 3, 200}) {
        for (const int variant : {0, 1, 2, 3}) {
          const Case c{dtype, tokens, cols, variant % 2 == 0 ? 1 : 6, variant >= 1, variant >= 2};
          const Matrix rows = random_matrix(dtype, tokens * c.top_k, cols, 5);
          const Matrix shared = random_matrix(dtype, tokens, cols, 6);
          std::vector<int64_t> row_of = rows_with_padding(tokens, c.top_k);
          std::vector<float> weights(row_of.size());
          std::mt19937 random(3);
          for (float& weight : weights) weight = static_cast<float>(random() % 1000) * 0.0017f;
          const Matrix expected = plain_combine(c, rows, row_of, weights, shared);
          const auto [experts, places] = two_experts(rows, row_of);
          for (const int threads : {1, 2, 3}) {
            for (const bool stream : {false, true}) {
              Matrix y(dtype, tokens, cols);
              CombineInput input{places, experts, row_of, c.top_k, {}, {}, stream};
              if (c.weighted) input.weights = weights;
              if (c.shared) input.shared = shared.view();
              combine_rows(input, y.view(), threads);
              CHECK(same_bits(y, expected));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("add_rows adds in fp32 and rounds once") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Matrix y = random_matrix(dtype, 301, 7, 1);
    const Matrix before = random_matrix(dtype, 301, 7, 2);
    std::vector<float> sums = before.values();
    const std::vector<float> added = y.values();
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += added[i];
    Matrix expected(dtype, 301, 7);
    expected.set(sums);
    for (const int threads : {1, 2, 3}) {
      Matrix x = random_matrix(dtype, 301, 7, 2);
      add_rows(y.view(), x.view(), threads);
      CHECK(same_bits(x, expected));
    }
  }
}

TEST_CASE("combine refuses inputs whose shapes do not fit") {
  Matrix rows = random_matrix(DType::f32, 8, 7, 1);
  Matrix y(DType::f32, 4, 7);
  Matrix other(DType::f32, 4, 6);
  const std::vector<ExpertPlace> places{{rows.view().data, 0}};
  const std::vector<int32_t> experts{0, 0, 0, 0};
  const std::vector<int64_t> row_of{0, 1, 2, 3};
  const std::vector<float> weights(3);
  const auto combine = [&](CombineInput input) { combine_rows(input, y.view(), 1); };
  CHECK_THROWS_AS(combine({places, experts, row_of, 2, {}, {}}), RunError);
  CHECK_THROWS_AS(combine({places, {}, row_of, 1, {}, {}}), RunError);
  CHECK_THROWS_AS(combine({places, experts, row_of, 1, weights, {}}), RunError);
  CHECK_THROWS_AS(combine({places, experts, row_of, 1, {}, other.view()}), RunError);
  CHECK_THROWS_AS(add_rows(y.view(), other.view(), 1), RunError);
}

}  // namespace hashep::test
