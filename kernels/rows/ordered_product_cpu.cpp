// SPDX-License-Identifier: Apache-2.0
// HASHEP_EACH_VECTOR_WIDTH: see row_sums_cpu.cpp. Sums stand in vectors by name: compilers would
// keep an array of them in memory.
#include "kernels/rows/ordered_product.hpp"

#include <cstring>

namespace hashep {
namespace {

using Vector = float __attribute__((vector_size(64)));
constexpr int64_t kLanes = 16;
constexpr int64_t kRows = 4;  // of a, that a row of b is read once for
constexpr int64_t kCols = 2 * kLanes;

inline __attribute__((always_inline)) void load(const float* from, Vector& to) {
  std::memcpy(&to, from, sizeof(to));
}
inline __attribute__((always_inline)) void store(const Vector& from, float* to) {
  std::memcpy(to, &from, sizeof(from));
}

/// kRows rows by kCols columns.
HASHEP_EACH_VECTOR_WIDTH
void run_block(const float* a, int64_t a_row, int64_t a_col, const float* b, int64_t b_row,
               int64_t terms, float* c, int64_t c_row, bool adds) {
  Vector c00{}, c01{}, c10{}, c11{}, c20{}, c21{}, c30{}, c31{};
  if (adds) {
    load(c, c00), load(c + kLanes, c01);
    load(c + c_row, c10), load(c + c_row + kLanes, c11);
    load(c + 2 * c_row, c20), load(c + 2 * c_row + kLanes, c21);
    load(c + 3 * c_row, c30), load(c + 3 * c_row + kLanes, c31);
  }
  for (int64_t k = 0; k < terms; ++k) {
    Vector b0;
    Vector b1;
    load(b + k * b_row, b0);
    load(b + k * b_row + kLanes, b1);
    const float* const column = a + k * a_col;
    const float a0 = column[0];
    const float a1 = column[a_row];
    const float a2 = column[2 * a_row];
    const float a3 = column[3 * a_row];
    c00 += a0 * b0, c01 += a0 * b1;
    c10 += a1 * b0, c11 += a1 * b1;
    c20 += a2 * b0, c21 += a2 * b1;
    c30 += a3 * b0, c31 += a3 * b1;
  }
  store(c00, c), store(c01, c + kLanes);
  store(c10, c + c_row), store(c11, c + c_row + kLanes);
  store(c20, c + 2 * c_row), store(c21, c + 2 * c_row + kLanes);
  store(c30, c + 3 * c_row), store(c31, c + 3 * c_row + kLanes);
}

/// One row by kCols columns.
HASHEP_EACH_VECTOR_WIDTH
void run_row(const float* a, int64_t a_col, const float* b, int64_t b_row, int64_t terms, float* c,
             bool adds) {
  Vector c0{}, c1{};
  if (adds) load(c, c0), load(c + kLanes, c1);
  for (int64_t k = 0; k < terms; ++k) {
    Vector b0;
    Vector b1;
    load(b + k * b_row, b0);
    load(b + k * b_row + kLanes, b1);
    c0 += a[k * a_col] * b0;
    c1 += a[k * a_col] * b1;
  }
  store(c0, c);
  store(c1, c + kLanes);
}

}  // namespace

void ordered_product(const OrderedProduct& p) {
  const int64_t whole_cols = p.cols - p.cols % kCols;
  for (int64_t row = 0; row < p.rows;) {
    const bool is_block = row + kRows <= p.rows;
    const float* const a = p.a + row * p.a_row;
    float* const c = p.c + row * p.c_row;
    for (int64_t col = 0; col < whole_cols; col += kCols) {
      if (is_block) {
        run_block(a, p.a_row, p.a_col, p.b + col, p.b_row, p.terms, c + col, p.c_row, p.adds);
      } else {
        run_row(a, p.a_col, p.b + col, p.b_row, p.terms, c + col, p.adds);
      }
    }
    const int64_t count = is_block ? kRows : 1;
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t col = whole_cols; col < p.cols; ++col) {
        float sum = p.adds ? c[i * p.c_row + col] : 0.0f;
        for (int64_t k = 0; k < p.terms; ++k) {
          sum += a[i * p.a_row + k * p.a_col] * p.b[k * p.b_row + col];
        }
        c[i * p.c_row + col] = sum;
      }
    }
    row += count;
  }
}

}  // namespace hashep
