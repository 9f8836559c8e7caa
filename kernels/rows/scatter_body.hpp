// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/argument_checks.hpp"
#include "kernels/ffn/row_tiling.hpp"
#include "kernels/rows/expert_place.hpp"
#include "kernels/rows/scatter.hpp"
#include "kernels/rows/wide_access.hpp"

namespace hashep {

/// scatter_rows on a GPU: what each thread reads. Pointers lead to GPU memory.
struct ScatterArguments {
  const std::byte* x = nullptr;
  const int32_t* experts = nullptr;
  const int64_t* rows = nullptr;
  const ExpertPlace* places = nullptr;
  const int32_t* listed = nullptr;  // null: all rows of x
  int64_t row_bytes = 0;
  int top_k = 1;
  int access_bytes = kWidestAccess;
  RowTiling tiling;  // of tokens

  int64_t blocks() const { return tiling.blocks(); }
};

/// Checks the arguments of scatter_rows, as check_scatter does.
inline ScatterArguments scatter_arguments(ConstMatrixView x, const ScatterPlan& plan) {
  check_scatter(x, plan);
  const int64_t row_bytes = x.row_bytes();
  const int access_bytes = widest_access(row_bytes, x.dtype, {x.data});
  return {.x = x.data,
          .experts = plan.experts.data(),
          .rows = plan.rows.data(),
          .places = plan.places.data(),
          .listed = plan.listed.empty() ? nullptr : plan.listed.data(),
          .row_bytes = row_bytes,
          .top_k = plan.top_k,
          .access_bytes = access_bytes,
          .tiling = tile_rows(plan.num_tokens(x.rows), row_bytes / access_bytes)};
}

/// One thread of scatter_rows: reads its part of a row of x once and stores it for each choice.
template <int kBytes>
struct ScatterBody {
  using Arguments = ScatterArguments;
  static constexpr int kSteps = 4;    // loads in flight
  static constexpr int kTargets = 8;  // whose addresses are looked up at once

  HASHEP_HOST_DEVICE static void run(const Arguments& a, int64_t block, int thread) {
    const RowPosition at = a.tiling.position(block, thread);
    if (at.row >= a.tiling.rows) return;
    const int64_t stride = int64_t{a.tiling.row_threads()} * kBytes;
    const int64_t row = a.listed == nullptr ? at.row : a.listed[at.row];
    const std::byte* const from = a.x + row * a.row_bytes;
    for (int64_t offset = at.step * kBytes; offset < a.row_bytes; offset += kSteps * stride) {
      Chunk<kBytes> values[kSteps] = {};
      HASHEP_UNROLL
      for (int s = 0; s < kSteps; ++s) {
        const int64_t here = offset + s * stride;
        if (here < a.row_bytes) values[s] = load_chunk<kBytes>(from + here);
      }
      for (int first = 0; first < a.top_k; first += kTargets) {
        store(a, at.row, first, offset, stride, values);
      }
    }
  }

 private:
  HASHEP_HOST_DEVICE static std::byte* target(const Arguments& a, int64_t token, int choice) {
    if (choice >= a.top_k) return nullptr;
    const int64_t assignment = token * a.top_k + choice;
    const int64_t row = a.rows[assignment];
    if (row < 0) return nullptr;
    const ExpertPlace place = a.places[a.experts[assignment]];
    return place.data == nullptr ? nullptr : place.row(row, a.row_bytes);
  }

  HASHEP_HOST_DEVICE static void store(const Arguments& a, int64_t token, int first, int64_t offset,
                                       int64_t stride, const Chunk<kBytes> (&values)[kSteps]) {
    std::byte* targets[kTargets];
    HASHEP_UNROLL
    for (int i = 0; i < kTargets; ++i) targets[i] = target(a, token, first + i);
    HASHEP_UNROLL
    for (int i = 0; i < kTargets; ++i) {
      if (targets[i] == nullptr) continue;
      HASHEP_UNROLL
      for (int s = 0; s < kSteps; ++s) {
        const int64_t here = offset + s * stride;
        if (here < a.row_bytes) store_chunk<kBytes>(values[s], targets[i] + here);
      }
    }
  }
};

/// Calls launch(body) with the body that fits the arguments; not at all where nothing is to do.
template <typename Launch>
void with_scatter_body(const ScatterArguments& a, const Launch& launch) {
  if (a.blocks() == 0) return;
  switch (a.access_bytes) {
    case 16:
      return launch(ScatterBody<16>{});
    case 8:
      return launch(ScatterBody<8>{});
    case 4:
      return launch(ScatterBody<4>{});
    default:
      return launch(ScatterBody<2>{});  // no element is smaller
  }
}

}  // namespace hashep
