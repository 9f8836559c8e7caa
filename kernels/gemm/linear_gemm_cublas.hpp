// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/device_stream.hpp"
#include "hashep/dtype.hpp"
#include "kernels/gemm/cublas_handles.hpp"

namespace hashep {

/// The shape of y = x W^T but for x's rows. x: [rows, in_cols], W: [out_cols, in_cols], both of
/// dtype `operands`; y: [rows, out_cols] of dtype `result`. All row-major without gaps.
struct LinearShape {
  int64_t out_cols = 0;
  int64_t in_cols = 0;
  DType operands = DType::f32;  // f32 or bf16
  DType result = DType::f32;    // f32, or bf16 with bf16 operands
};

/// Scratch memory that a GEMM may use; of one stream at a time.
struct GemmWorkspace {
  void* data = nullptr;
  int64_t bytes = 0;
};

/// y = x W^T by cuBLASLt. Sums are fp32 (TF32 is off), rounded once. The algorithm is chosen from
/// the shape, the rows, the multiprocessors and the alignment that all rows share, never from
/// addresses or timings: so a number of rows gives the same bits wherever they stand.
class LinearGemm {
 public:
  /// For up to `max_rows` rows. `lt` must outlive this. `multiprocessors`: that a GEMM is to take,
  /// as others run beside it; 0: all.
  LinearGemm(const CublasLtHandle& lt, const LinearShape& shape, int64_t max_rows,
             int64_t workspace_bytes, int multiprocessors = 0);
  ~LinearGemm();
  LinearGemm(LinearGemm&&) noexcept;

  /// Chooses the algorithm for a number of rows, where that has not been done. Host work, ahead of
  /// the step. Throws RunError where cuBLASLt has none.
  void prepare(int64_t rows);

  /// y <- x W^T, in stream order; x, w, y in GPU memory, of which y overlaps no other. The
  /// workspace is as large as said at the making. Allocates nothing. Throws RunError where `rows`
  /// were not prepared.
  void run(int64_t rows, const void* x, const void* w, void* y, const GemmWorkspace& workspace,
           DeviceStream stream) const;

  const LinearShape& shape() const { return shape_; }

 private:
  struct Choice;

  const CublasLtHandle& lt_;
  LinearShape shape_;
  int64_t workspace_bytes_;
  int multiprocessors_;
  std::vector<std::unique_ptr<Choice>> choices_;  // by rows
};

}  // namespace hashep
