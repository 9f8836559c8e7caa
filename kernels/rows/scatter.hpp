// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "core/device_stream.hpp"
#include "hashep/tensor_view.hpp"
#include "kernels/rows/expert_place.hpp"

namespace hashep {

/// Where each assignment's row goes.
struct ScatterPlan {
  std::span<const int32_t> experts;  // [tokens * top_k]
  std::span<const int64_t> rows;     // [tokens * top_k]: numbers within ExpertPlace; -1: padding
  int top_k = 1;
  std::span<const ExpertPlace> places;  // [num_experts]; null: left out
  // Where the tokens are some of x's, or come more than once: their rows of x. [tokens]
  std::span<const int32_t> listed = {};

  /// Of an x with so many rows.
  int64_t num_tokens(int64_t x_rows) const { return listed.empty() ? x_rows : std::ssize(listed); }
};

/// Permute, straight to the final places: reads x in order and writes each row once for each of its
/// choices. x: [tokens, d], any number of rows with `listed`. With `stream` past the caches (see
/// stream_copy); all stores are visible to other ranks once a flag is that this thread sets
/// afterwards.
void scatter_rows(ConstMatrixView x, const ScatterPlan& plan, bool stream, int threads);

/// The same on a GPU, in stream order. x, the plan's arrays and the rows that places lead to are in
/// GPU memory; those rows are aligned to the widest of 16, 8, 4 and 2 bytes that divides row_bytes,
/// x to its elements. Reads each token's row once. Throws RunError where the launch fails.
void scatter_rows(ConstMatrixView x, const ScatterPlan& plan, DeviceStream stream);

}  // namespace hashep
