// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/device_stream.hpp"
#include "hashep/ffn_shape.hpp"

namespace hashep {

/// The shape of one expert's product: x [rows, in_cols], W [out_cols, in_cols]. Rows may be 0.
struct GroupShape {
  int32_t rows = 0;
  int32_t out_cols = 0;
  int32_t in_cols = 0;

  bool operator==(const GroupShape&) const = default;
};

/// What becomes of the fp32 sums x W^T before they are rounded to bf16, once.
struct FusedEpilogue {
  enum class Kind { bias, relu, gelu, swiglu };

  Kind kind = Kind::bias;
  float limit = 0.0f;  // of swiglu; 0: none
};

/// The epilogue of an expert's first GEMM.
FusedEpilogue fused_activation(const FfnShape& shape);

/// With swiglu, rows of W come in blocks of this many: a block of w1 (gate), then the block of w3
/// (up) of the same hidden columns. A thread of the epilogue then holds both in its registers.
inline constexpr int64_t kGatedBlock = 8;

/// One product for each expert of a layer, in one launch. Shapes and addresses are read by the GPU
/// when it comes to them, so that a captured launch serves any counts of rows. All arrays are in
/// GPU memory, [groups]; all matrices are bf16, row-major without gaps, aligned to 16 bytes.
struct FusedGemm {
  int groups = 0;
  const GroupShape* shapes = nullptr;
  const std::byte* const* x = nullptr;  // [rows, in_cols]
  const std::byte* const* w = nullptr;  // [out_cols, in_cols]
  const std::byte* const* y =
      nullptr;  // [rows, out_cols], with swiglu [rows, out_cols / 2]; written
  const int64_t* in_strides = nullptr;  // in_cols of each group
  const float* const* bias1 = nullptr;  // each null, or fp32 [columns of y]
  const float* const* bias3 = nullptr;  // swiglu: of the up half
  FusedEpilogue epilogue;
};

/// Why fused GEMMs cannot run on the current GPU; null where they can. They are CUTLASS's grouped
/// GEMM for sm_90, which a build has where CUTLASS was there.
const char* why_no_fused_gemm();

/// Columns in and out must be multiples of this many elements, for the GPU's tensor memory access.
inline constexpr int64_t kFusedAlignment = 8;

/// GPU memory that a launch needs beside its matrices: of one stream at a time.
int64_t fused_gemm_workspace_bytes();

/// y_i = epilogue(x_i W_i^T) for all groups, in stream order. Sums are fp32. A row's bits depend on
/// that row and W alone. Allocates nothing, waits for nothing. Throws RunError where the launch
/// fails or why_no_fused_gemm is not null.
void run_fused_gemm(const FusedGemm& gemm, void* workspace, DeviceStream stream);

}  // namespace hashep
