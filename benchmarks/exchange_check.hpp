// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "hashep/split.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep::bench {

/// Rows that carry their address: small whole numbers, exact in fp32 and bf16 and with room for
/// what made-up experts do to them, that are a random function of (address, column).
class AddressedRow {
 public:
  explicit AddressedRow(int64_t cols) : values_(cols) {}

  /// The row of an address, until the next call.
  std::span<const float> of(uint64_t address);

 private:
  std::vector<float> values_;
};

/// The address of row `index` of the message between two ranks.
uint64_t message_address(int source, int destination, int64_t index);

/// Fills rows with NaN, so that nothing passes by what was there before.
void poison(MatrixView rows);

/// Elements of `row` that are not bit for bit `expected`, rounded to the row's dtype.
int64_t wrong_elements(const ConstMatrixView& rows, int64_t row, std::span<const float> expected);

/// Where each row of one exchange must be, worked out from the experts of all ranks' tokens with no
/// plan: what dispatch and combine are checked against, element by element.
class ExchangeCheck {
 public:
  /// experts: [batch tokens, top_k], -1 is padding. local_experts: of this rank, ascending.
  /// own_tokens: of the batch, this rank's.
  ExchangeCheck(std::vector<int32_t> experts, int top_k, std::span<const int32_t> local_experts,
                Range own_tokens);

  /// The hidden states that dispatch is to be given. x: [own tokens, hidden_size]
  void fill(MatrixView x) const;
  /// Elements of what dispatch returned that differ from the canonical order (expert, global token
  /// index).
  int64_t wrong_in_dispatch(ConstMatrixView rows) const;
  /// Made-up experts, each of which does something else: rows as dispatch returned them, in place.
  void run_experts(MatrixView rows) const;
  /// Elements of y that differ from sum_j weights[i, j] * row, summed in fp32 in the order j = 0..
  /// top_k - 1 and rounded once, `row` being what run_experts made of it, or what was sent where
  /// they did not run. weights: [own tokens, top_k], or empty for 1 / top_k each.
  int64_t wrong_in_combine(ConstMatrixView y, std::span<const float> weights,
                           bool experts_ran) const;

 private:
  struct ExpectedRow {
    int64_t token = 0;  // global index
    int32_t expert = 0;
  };

  std::span<const int32_t> experts_of(int64_t token) const {
    const auto top_k = static_cast<size_t>(top_k_);
    return std::span(experts_).subspan(static_cast<size_t>(token) * top_k, top_k);
  }

  std::vector<int32_t> experts_;
  int top_k_;
  Range own_tokens_;
  std::vector<ExpectedRow> rows_;  // at this rank's experts, in canonical order
};

}  // namespace hashep::bench
