// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "kernels/argument_checks.hpp"
#include "kernels/parallel.hpp"
#include "kernels/require.hpp"
#include "kernels/rows/combine.hpp"
#include "kernels/rows/row_sums.hpp"
#include "kernels/rows/stream_copy.hpp"

namespace hashep {
namespace {

constexpr int64_t kTokensPerThread = 64;  // fewer are summed sooner than a thread wakes up
constexpr int64_t kColumns = 128;         // of one pass: 8 lines in fp32, asked for at once
// What is asked for while rows are copied is so far ahead, in whole rows. On a Zen 4, 16,384 rows
// of 2 KiB take 1.05 to 1.18 of a local copy's time so, and 1.31 to 1.46 where one row is.
constexpr int64_t kCopyAhead = 8192;  // bytes

using Sums = std::array<float, kColumns>;

void write_sums(const Sums& sums, int64_t count, bool stream, float* out) {
  copy_row(reinterpret_cast<std::byte*>(out), reinterpret_cast<const std::byte*>(sums.data()),
           count * static_cast<int64_t>(sizeof(float)), stream);
}

void write_sums(const Sums& sums, int64_t count, bool stream, BFloat16* out) {
  std::array<BFloat16, kColumns> rounded;
  BFloat16* const to = stream ? rounded.data() : out;
  round_sums(sums.data(), count, to);
  if (!stream) return;
  stream_copy(reinterpret_cast<std::byte*>(out), reinterpret_cast<const std::byte*>(to),
              count * static_cast<int64_t>(sizeof(BFloat16)));
}

/// Combines tokens of one call into rows of y of element type T.
template <typename T>
class Combiner {
 public:
  Combiner(const CombineInput& input, MatrixView y)
      : input_(input),
        y_(y),
        equal_weight_(1.0f / static_cast<float>(input.top_k)),
        is_copy_(input.top_k == 1 && input.weights.empty() && input.shared.rows == 0),
        rows_ahead_(std::max<int64_t>(1, kCopyAhead / std::max<int64_t>(1, y.row_bytes()))) {}

  void combine_token(int64_t token) const {
    T* const out = y_.row_as<T>(token);
    const T* const row = row_of(token, 0);
    if (row == nullptr) {
      std::fill_n(out, y_.cols, T{});
    } else if (is_copy_) {
      copy_token(token, row, out);
    } else {
      for (int64_t column = 0; column < y_.cols; column += kColumns) {
        combine_columns(token, column, std::min(kColumns, y_.cols - column), out + column);
      }
    }
  }

 private:
  const T* row_of(int64_t token, int64_t choice) const {
    const auto assignment = static_cast<size_t>(token * input_.top_k + choice);
    const int64_t row = input_.row_of[assignment];
    if (row < 0) return nullptr;
    const auto expert = static_cast<size_t>(input_.experts[assignment]);
    return reinterpret_cast<const T*>(input_.places[expert].row(row, y_.row_bytes()));
  }

  /// The rows of a token stand far apart: the hardware does not foresee the next ones, the plan
  /// does.
  void read_ahead(int64_t token, int64_t choice, int64_t column, int64_t count) const {
    if (!input_.stream || token >= y_.rows) return;
    const T* const row = row_of(token, choice);
    if (row == nullptr) return;
    prefetch(reinterpret_cast<const std::byte*>(row + column),
             count * static_cast<int64_t>(sizeof(T)));
  }

  void copy_token(int64_t token, const T* row, T* out) const {
    const auto* const from = reinterpret_cast<const std::byte*>(row);
    auto* const to = reinterpret_cast<std::byte*>(out);
    const int64_t later = token + rows_ahead_;
    const T* const next = input_.stream && later < y_.rows ? row_of(later, 0) : nullptr;
    if (next != nullptr) {
      stream_copy(to, from, y_.row_bytes(), reinterpret_cast<const std::byte*>(next));
    } else {
      copy_row(to, from, y_.row_bytes(), input_.stream);
    }
  }

  void combine_columns(int64_t token, int64_t column, int64_t count, T* out) const {
    Sums sums;
    for (int64_t choice = 0; choice < input_.top_k; ++choice) {
      read_ahead(token + 1, choice, column, count);
      const T* const row = row_of(token, choice);
      if (row == nullptr) continue;
      const float weight =
          input_.weights.empty() ? equal_weight_ : input_.weights[token * input_.top_k + choice];
      if (choice == 0) {
        set_scaled(row + column, weight, count, sums.data());
      } else {
        add_scaled(row + column, weight, count, sums.data());
      }
    }
    if (input_.shared.rows > 0) {
      add_scaled(input_.shared.row_as<T>(token) + column, 1.0f, count, sums.data());
    }
    write_sums(sums, count, input_.stream, out);
  }

  const CombineInput& input_;
  MatrixView y_;
  float equal_weight_;
  bool is_copy_;  // one row, unscaled: 1 * row has its bits
  int64_t rows_ahead_;
};

}  // namespace

void combine_rows(const CombineInput& input, MatrixView y, int threads) {
  check_combine(input, y);
  with_activation_type(y.dtype, [&](auto zero) {
    const Combiner<decltype(zero)> combiner(input, y);
    parallel_ranges(y.rows, threads, kTokensPerThread, [&](int64_t begin, int64_t end) {
      for (int64_t token = begin; token < end; ++token) combiner.combine_token(token);
      if (input.stream) stream_fence();
    });
  });
}

void sum_rows(std::span<const std::byte* const> rows, std::span<const float> weights, DType dtype,
              int64_t cols, std::byte* out) {
  require(!rows.empty() && rows.size() == weights.size(), "sum_rows: rows and weights differ");
  with_activation_type(dtype, [&](auto zero) {
    using T = decltype(zero);
    Sums sums;
    for (int64_t column = 0; column < cols; column += kColumns) {
      const int64_t count = std::min(kColumns, cols - column);
      for (size_t i = 0; i < rows.size(); ++i) {
        const T* const row = reinterpret_cast<const T*>(rows[i]) + column;
        if (i == 0) {
          set_scaled(row, weights[i], count, sums.data());
        } else {
          add_scaled(row, weights[i], count, sums.data());
        }
      }
      write_sums(sums, count, false, reinterpret_cast<T*>(out) + column);
    }
  });
}

void add_rows(ConstMatrixView y, MatrixView x, int threads) {
  check_add(y, x);
  with_activation_type(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    parallel_ranges(x.rows, threads, kTokensPerThread, [&](int64_t begin, int64_t end) {
      const T* from = y.row_as<T>(begin);
      T* to = x.row_as<T>(begin);
      const int64_t count = (end - begin) * x.cols;
      for (int64_t i = 0; i < count; ++i) {
        to[i] = static_cast<T>(static_cast<float>(to[i]) + static_cast<float>(from[i]));
      }
    });
  });
}

}  // namespace hashep
