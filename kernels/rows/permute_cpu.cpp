// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "kernels/parallel.hpp"
#include "kernels/require.hpp"
#include "kernels/rows/permute.hpp"

namespace hashep {
namespace {

constexpr int64_t kRowsPerThread = 64;  // fewer are copied sooner than a thread wakes up

void require_like(const ConstMatrixView& from, const ConstMatrixView& to) {
  require(from.cols == to.cols && from.dtype == to.dtype, "permute: rows differ in cols or dtype");
}

/// The blocks' rows, numbered through all blocks, are dealt to the threads evenly, however long a
/// block is. `copy` gets parts of blocks.
template <typename Copy>
void for_each_part(std::span<const RowBlock> blocks, int threads, const Copy& copy) {
  int64_t rows = 0;
  for (const RowBlock& block : blocks) rows += block.count;
  parallel_ranges(rows, threads, kRowsPerThread, [&](int64_t begin, int64_t end) {
    int64_t block_begin = 0;
    for (const RowBlock& block : blocks) {
      const int64_t first = std::max(begin - block_begin, int64_t{0});
      const int64_t last = std::min(end - block_begin, block.count);
      if (first < last) {
        copy(RowBlock{block.message_row + first, block.expert_row + first, last - first});
      }
      block_begin += block.count;
      if (block_begin >= end) break;
    }
  });
}

}  // namespace

void permute_rows(ConstMatrixView x, std::span<const int64_t> rows, int top_k, MatrixView out,
                  int threads) {
  require(std::ssize(rows) == x.rows * top_k, "permute_rows: rows are not [tokens * top_k]");
  require_like(x, out);
  const auto row_bytes = static_cast<size_t>(x.row_bytes());
  parallel_ranges(x.rows, threads, kRowsPerThread, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      for (int64_t choice = 0; choice < top_k; ++choice) {
        const int64_t row = rows[token * top_k + choice];
        if (row >= 0) std::memcpy(out.row(row), x.row(token), row_bytes);
      }
    }
  });
}

void copy_blocks_to_experts(ConstMatrixView messages, std::span<const RowBlock> blocks,
                            MatrixView expert_rows, int threads) {
  require_like(messages, expert_rows);
  for_each_part(blocks, threads, [&](const RowBlock& part) {
    std::memcpy(expert_rows.row(part.expert_row), messages.row(part.message_row),
                part.count * messages.row_bytes());
  });
}

void copy_blocks_from_experts(ConstMatrixView expert_rows, std::span<const RowBlock> blocks,
                              MatrixView messages, int threads) {
  require_like(expert_rows, messages);
  for_each_part(blocks, threads, [&](const RowBlock& part) {
    std::memcpy(messages.row(part.message_row), expert_rows.row(part.expert_row),
                part.count * messages.row_bytes());
  });
}

}  // namespace hashep
