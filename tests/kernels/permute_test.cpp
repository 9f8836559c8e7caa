// SPDX-License-Identifier: Apache-2.0
#include "kernels/rows/permute.hpp"

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "hashep/error.hpp"
#include "tests/kernels/kernel_inputs.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

/// Rows that carry their address: element (row, col) = row + col / 1000, so a row out of place
/// names itself.
Matrix addressed_rows(int64_t rows, int64_t cols) {
  std::vector<float> values;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t col = 0; col < cols; ++col) {
      values.push_back(static_cast<float>(row) + static_cast<float>(col) * 0.001f);
    }
  }
  Matrix matrix(DType::f32, rows, cols);
  matrix.set(values);
  return matrix;
}

/// Blocks of random sizes (zero among them) covering `rows` rows, in another order on each side.
std::vector<RowBlock> random_blocks(int64_t rows, std::mt19937& random) {
  std::vector<RowBlock> blocks;
  for (int64_t row = 0; row < rows;) {
    const int64_t count = std::min<int64_t>(rows - row, random() % 90);
    blocks.push_back({row, 0, count});
    row += count;
  }
  std::vector<size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::shuffle(order.begin(), order.end(), random);
  int64_t expert_row = 0;
  for (const size_t i : order) {
    blocks[i].expert_row = expert_row;
    expert_row += blocks[i].count;
  }
  return blocks;
}

}  // namespace

TEST_CASE("permute_rows puts each assignment's row in its place") {
  std::mt19937 random(7);
  for (const int top_k : {1, 3}) {
    for (const int64_t tokens : {0, 1, 5, 700}) {
      for (const int threads : {1, 2, 3}) {
        // Every seventh token is padding; the others' assignments get all rows in random order.
        std::vector<int64_t> rows(tokens * top_k, -1);
        std::vector<int64_t> source;
        for (int64_t i = 0; i < tokens * top_k; ++i) {
          if ((i / top_k) % 7 != 3) source.push_back(i);
        }
        std::vector<int64_t> order(source.size());
        std::iota(order.begin(), order.end(), int64_t{0});
        std::shuffle(order.begin(), order.end(), random);
        for (size_t n = 0; n < source.size(); ++n) rows[source[n]] = order[n];

        const Matrix x = addressed_rows(tokens, 7);
        Matrix out(DType::f32, std::ssize(source), 7);
        permute_rows(x.view(), rows, top_k, out.view(), threads);
        int wrong = 0;
        for (size_t n = 0; n < source.size(); ++n) {
          wrong += out.row(order[n]) != x.row(source[n] / top_k);
        }
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("blocks go to expert rows and back, whatever their sizes and the threads") {
  std::mt19937 random(11);
  for (int round = 0; round < 30; ++round) {
    const int64_t rows = round == 0 ? 0 : 1 + static_cast<int64_t>(random() % 1000);
    const std::vector<RowBlock> blocks = random_blocks(rows, random);
    const int threads = 1 + round % 3;
    const Matrix messages = random_matrix(DType::bf16, rows, 5, 99 + round);
    Matrix expert_rows(DType::bf16, rows, 5);
    copy_blocks_to_experts(messages.view(), blocks, expert_rows.view(), threads);
    int wrong = 0;
    for (const RowBlock& block : blocks) {
      for (int64_t i = 0; i < block.count; ++i) {
        wrong += expert_rows.row(block.expert_row + i) != messages.row(block.message_row + i);
      }
    }
    CHECK(wrong == 0);
    Matrix back(DType::bf16, rows, 5);
    copy_blocks_from_experts(expert_rows.view(), blocks, back.view(), threads);
    CHECK(same_bits(back, messages));
  }
}

TEST_CASE("permute refuses rows of another length or dtype") {
  const Matrix x = addressed_rows(4, 7);
  Matrix narrow(DType::f32, 4, 6);
  Matrix half(DType::bf16, 4, 7);
  const std::vector<int64_t> rows{0, 1, 2, 3};
  CHECK_THROWS_AS(permute_rows(x.view(), rows, 1, narrow.view(), 1), RunError);
  CHECK_THROWS_AS(permute_rows(x.view(), rows, 1, half.view(), 1), RunError);
  CHECK_THROWS_AS(permute_rows(x.view(), rows, 2, narrow.view(), 1), RunError);
}

}  // namespace hashep::test
