// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/argument_checks.hpp"
#include "kernels/ffn/activation.hpp"
#include "kernels/ffn/row_tiling.hpp"
#include "kernels/rows/wide_access.hpp"

namespace hashep {

/// add_bias on a GPU: what each thread reads. Pointers lead to GPU memory.
struct AddBiasArguments {
  const float* bias = nullptr;
  std::byte* rows = nullptr;
  int64_t cols = 0;
  DType dtype = DType::f32;
  int access_bytes = kWidestAccess;  // of the rows
  RowTiling tiling;

  int64_t blocks() const { return tiling.blocks(); }
};

/// Checks the arguments of add_bias, as check_add_bias does.
inline AddBiasArguments add_bias_arguments(const float* bias, MatrixView rows) {
  check_add_bias(bias, rows);
  // Where the bias can't be read 16 bytes at once, it is read element by element.
  const int64_t unit = is_aligned(bias, kWidestAccess) ? rows.row_bytes() : dtype_size(rows.dtype);
  const int access_bytes = widest_access(unit, rows.dtype, {rows.data});
  return {.bias = bias,
          .rows = rows.data,
          .cols = rows.cols,
          .dtype = rows.dtype,
          .access_bytes = access_bytes,
          .tiling = tile_rows(rows.rows, rows.row_bytes() / access_bytes)};
}

/// One thread of add_bias, in accesses of kBytes to the rows.
template <typename T, int kBytes>
struct AddBiasBody {
  using Arguments = AddBiasArguments;
  static constexpr int kSteps = 4;  // loads in flight
  static constexpr int kElements = kBytes / static_cast<int>(sizeof(T));

  HASHEP_HOST_DEVICE static void run(const Arguments& a, int64_t block, int thread) {
    const RowPosition at = a.tiling.position(block, thread);
    if (at.row >= a.tiling.rows) return;
    T* const row = reinterpret_cast<T*>(a.rows) + at.row * a.cols;
    const int64_t stride = int64_t{a.tiling.row_threads()} * kElements;
    for (int64_t column = at.step * kElements; column < a.cols; column += kSteps * stride) {
      float sums[kSteps][kElements] = {};
      HASHEP_UNROLL
      for (int s = 0; s < kSteps; ++s) {
        const int64_t here = column + s * stride;
        if (here < a.cols) load_floats<T, kElements>(row + here, sums[s]);
      }
      HASHEP_UNROLL
      for (int s = 0; s < kSteps; ++s) {
        const int64_t here = column + s * stride;
        if (here >= a.cols) continue;
        float added[kElements];
        load_floats<float, kElements>(a.bias + here, added);
        HASHEP_UNROLL
        for (int i = 0; i < kElements; ++i) sums[s][i] += added[i];
        store_floats<T, kElements>(sums[s], row + here);
      }
    }
  }
};

/// Calls launch(body) with the body that fits the arguments; not at all where nothing is to do.
template <typename Launch>
void with_add_bias_body(const AddBiasArguments& a, const Launch& launch) {
  if (a.blocks() == 0) return;
  with_activation_type(a.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (a.access_bytes == 16) return launch(AddBiasBody<T, 16>{});
    if (a.access_bytes == 8) return launch(AddBiasBody<T, 8>{});
    if (a.access_bytes == 4) return launch(AddBiasBody<T, 4>{});
    if constexpr (sizeof(T) == 2) return launch(AddBiasBody<T, 2>{});
  });
}

}  // namespace hashep
