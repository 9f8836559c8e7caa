// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace hashep {

/// c <- a b, or c <- c + a b where it adds: a [rows, terms], b [terms, cols], c [rows, cols], fp32.
struct OrderedProduct {
  const float* a = nullptr;
  int64_t a_row = 0;  ///< floats from a row of a to the next
  int64_t a_col = 1;  ///< floats from a column of a to the next
  const float* b = nullptr;
  int64_t b_row = 0;  ///< floats from a row of b to the next
  float* c = nullptr;
  int64_t c_row = 0;  ///< floats from a row of c to the next
  int64_t rows = 0;
  int64_t terms = 0;
  int64_t cols = 0;
  bool adds = false;
};

/// Each element is summed term by term, products and sums rounded apart: its bits depend on its own
/// row of a and column of b alone, whatever the machine and the sizes. A learned gate needs that,
/// for a choice that turned out otherwise on another number of ranks would be another model; GEMMs
/// of libraries choose their orders by sizes. By one thread.
void ordered_product(const OrderedProduct& product);

}  // namespace hashep
