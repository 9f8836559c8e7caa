// SPDX-License-Identifier: Apache-2.0
#include "kernels/rows/scatter.hpp"

#include <algorithm>
#include <random>
#include <vector>

#include "hashep/error.hpp"
#include "kernels/rows/stream_copy.hpp"
#include "tests/kernels/kernel_inputs.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {

TEST_CASE("a streamed copy writes just its bytes, at any alignment and length") {
  std::vector<std::byte> from(700);
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 7 + 1);
  for (const int64_t shift : {0, 1, 16, 63}) {
    for (const int64_t bytes : {0, 1, 63, 64, 65, 200, 513}) {
      std::vector<std::byte> to(700);
      stream_copy(to.data() + shift, from.data() + 3, bytes);
      stream_fence();
      const auto first = to.begin() + shift;
      CHECK(std::equal(first, first + bytes, from.begin() + 3));
      CHECK(std::all_of(to.begin(), first, [](std::byte b) { return b == std::byte{0}; }));
      CHECK(std::all_of(first + bytes, to.end(), [](std::byte b) { return b == std::byte{0}; }));
    }
  }
}

TEST_CASE("streaming pays past a core's own cache") {
  const int64_t cache = core_cache_bytes();
  CHECK(cache > 0);
  CHECK(cache <= last_level_cache_bytes());
  CHECK_FALSE(worth_streaming(cache));
  CHECK(worth_streaming(cache + 1));
}

TEST_CASE("scatter_rows writes each row to each of its places and nowhere else") {
  std::mt19937 random(9);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t cols : {1, 7, 32, 1025}) {
      for (const int top_k : {1, 3}) {
        const int64_t tokens = 150;
        const Matrix x = random_matrix(dtype, tokens, cols, 4);
        // Each choice has an expert of its own, whose rows begin somewhere in the target; expert 1
        // is not to be reached. The rows of an expert are a permutation of the tokens.
        std::vector<int32_t> experts;
        std::vector<int64_t> rows;
        std::vector<int64_t> order(tokens);
        for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
        std::shuffle(order.begin(), order.end(), random);
        for (int64_t token = 0; token < tokens; ++token) {
          for (int j = 0; j < top_k; ++j) {
            experts.push_back(token % 5 == 2 ? -1 : j);
            rows.push_back(token % 5 == 2 ? -1 : order[token] + 100);
          }
        }
        const std::vector<float> marks(3 * tokens * cols, -9.0f);
        Matrix expected(dtype, 3 * tokens, cols);
        expected.set(marks);
        for (int64_t token = 0; token < tokens; ++token) {
          for (int j = 0; j < top_k; ++j) {
            if (token % 5 == 2 || j == 1) continue;
            const int64_t row = j * tokens + order[token];
            std::copy_n(x.view().row(token), x.view().row_bytes(), expected.view().row(row));
          }
        }
        for (const bool stream : {false, true}) {
          for (const int threads : {1, 3}) {
            Matrix to(dtype, 3 * tokens, cols);
            to.set(marks);
            const std::vector<ExpertPlace> places{
                {to.view().data, -100}, {nullptr, 0}, {to.view().row(2 * tokens), -100}};
            scatter_rows(x.view(), {experts, rows, top_k, places}, stream, threads);
            CHECK(same_bits(to, expected));
          }
        }
      }
    }
  }
}

TEST_CASE("scatter_rows reads the rows that are listed") {
  const Matrix x = random_matrix(DType::bf16, 4, 33, 1);
  const std::vector<int32_t> listed{3, 0, 3};
  const std::vector<int64_t> rows{0, 1, 2, -1, 3, 4};
  const std::vector<int32_t> experts{0, 0, 0, -1, 0, 0};
  for (const int threads : {1, 2}) {
    Matrix to(DType::bf16, 5, 33);
    const std::vector<ExpertPlace> places{{to.view().data, 0}};
    scatter_rows(x.view(), {experts, rows, 2, places, listed}, false, threads);
    const std::vector<int64_t> from{3, 3, 0, 3, 3};
    for (int64_t row = 0; row < 5; ++row) CHECK(to.row(row) == x.row(from[row]));
  }
}

TEST_CASE("scatter_rows refuses rows that are not those of x") {
  const Matrix x = random_matrix(DType::f32, 4, 7, 1);
  const std::vector<int64_t> rows{0, 1, 2, 3};
  const std::vector<int32_t> experts{0, 0, 0, 0};
  const std::vector<ExpertPlace> places(1);
  CHECK_THROWS_AS(scatter_rows(x.view(), {experts, rows, 2, places}, false, 1), RunError);
  CHECK_THROWS_AS(scatter_rows(x.view(), {{}, rows, 1, places}, false, 1), RunError);
  const std::vector<int32_t> listed{1, 2, 3};
  CHECK_THROWS_AS(scatter_rows(x.view(), {experts, rows, 1, places, listed}, false, 1), RunError);
}

}  // namespace hashep::test
