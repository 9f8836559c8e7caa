// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/argument_checks.hpp"
#include "kernels/ffn/row_tiling.hpp"
#include "kernels/rows/combine.hpp"
#include "kernels/rows/wide_access.hpp"

namespace hashep {

/// add_rows on a GPU: what each thread reads. Rows stand side by side, so they are taken as one
/// stretch. Pointers lead to GPU memory.
struct AddRowsArguments {
  const std::byte* y = nullptr;
  std::byte* x = nullptr;
  int64_t bytes = 0;
  DType dtype = DType::f32;
  int access_bytes = kWidestAccess;

  static constexpr int kSteps = 4;  // of a thread, all on their way at once
  int64_t blocks() const {
    const int64_t block_bytes = int64_t{kBlockThreads} * kSteps * access_bytes;
    return (bytes + block_bytes - 1) / block_bytes;
  }
};

/// Checks the arguments of add_rows, as check_add does.
inline AddRowsArguments add_rows_arguments(ConstMatrixView y, MatrixView x) {
  check_add(y, x);
  // The end may be shorter than an access: only the addresses tell how wide one can be.
  return {.y = y.data,
          .x = x.data,
          .bytes = x.bytes(),
          .dtype = x.dtype,
          .access_bytes = widest_access(0, x.dtype, {x.data, y.data})};
}

/// One thread of add_rows: four accesses, of which the stretch's last may be cut short.
template <typename T, int kBytes>
struct AddRowsBody {
  using Arguments = AddRowsArguments;
  static constexpr int kSteps = Arguments::kSteps;
  static constexpr int kElements = kBytes / static_cast<int>(sizeof(T));

  HASHEP_HOST_DEVICE static void run(const Arguments& a, int64_t block, int thread) {
    const int64_t first = (block * kBlockThreads * kSteps + thread) * kBytes;
    constexpr int64_t kStride = int64_t{kBlockThreads} * kBytes;
    Chunk<kBytes> added[kSteps] = {};
    Chunk<kBytes> sums[kSteps] = {};
    HASHEP_UNROLL
    for (int s = 0; s < kSteps; ++s) {
      const int64_t here = first + s * kStride;
      if (here + kBytes > a.bytes) continue;
      added[s] = load_chunk<kBytes>(a.y + here);
      sums[s] = load_chunk<kBytes>(a.x + here);
    }
    HASHEP_UNROLL
    for (int s = 0; s < kSteps; ++s) {
      const int64_t here = first + s * kStride;
      if (here + kBytes <= a.bytes) {
        store_chunk<kBytes>(sum<kElements>(sums[s], added[s]), a.x + here);
      } else if (here < a.bytes) {
        add_end(a, here);
      }
    }
  }

 private:
  template <int kCount>
  HASHEP_HOST_DEVICE static ElementChunk<T, kCount> sum(const ElementChunk<T, kCount>& x,
                                                        const ElementChunk<T, kCount>& y) {
    float sums[kCount];
    float added[kCount];
    to_floats<T, kCount>(x, sums);
    to_floats<T, kCount>(y, added);
    HASHEP_UNROLL
    for (int i = 0; i < kCount; ++i) sums[i] += added[i];
    return from_floats<T, kCount>(sums);
  }

  HASHEP_HOST_DEVICE static void add_end(const Arguments& a, int64_t begin) {
    constexpr int kEach = static_cast<int>(sizeof(T));
    for (int64_t here = begin; here < a.bytes; here += kEach) {
      store_chunk<kEach>(sum<1>(load_chunk<kEach>(a.x + here), load_chunk<kEach>(a.y + here)),
                         a.x + here);
    }
  }
};

/// Calls launch(body) with the body that fits the arguments; not at all where nothing is to do.
template <typename Launch>
void with_add_rows_body(const AddRowsArguments& a, const Launch& launch) {
  if (a.blocks() == 0) return;
  with_activation_type(a.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (a.access_bytes == 16) return launch(AddRowsBody<T, 16>{});
    if (a.access_bytes == 8) return launch(AddRowsBody<T, 8>{});
    if (a.access_bytes == 4) return launch(AddRowsBody<T, 4>{});
    if constexpr (sizeof(T) == 2) return launch(AddRowsBody<T, 2>{});
  });
}

}  // namespace hashep
