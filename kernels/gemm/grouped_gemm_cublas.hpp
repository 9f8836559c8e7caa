// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/cuda/device_buffer.hpp"
#include "kernels/gemm/cublas_handles.hpp"
#include "kernels/gemm/linear_gemm_cublas.hpp"

namespace hashep {

/// The products of one grouped GEMM: y_i = x_i W_i^T for all i. Rows on the host; the addresses of
/// the matrices in GPU memory, each array [rows.size()].
struct GroupedProducts {
  std::span<const int> rows;  // of x_i and y_i, each positive
  const void* const* x = nullptr;
  const void* const* w = nullptr;
  void* const* y = nullptr;
};

/// Many products of one shape but for their rows in one call of cuBLAS
/// (cublasGemmGroupedBatchedEx): shapes come from the host's plan, so nothing waits for the GPU.
/// Offered by cuBLAS for operands and results of one dtype.
class GroupedGemm {
 public:
  /// For up to `max_groups` products. The workspace is this object's own.
  GroupedGemm(const LinearShape& shape, int64_t max_groups, int64_t workspace_bytes);

  /// Does them in stream order; nothing where there are none. Allocates nothing.
  void run(const GroupedProducts& products, DeviceStream stream) const;

  int64_t workspace_bytes() const { return workspace_.capacity(); }

 private:
  LinearShape shape_;
  CublasHandle cublas_;
  DeviceBuffer workspace_;
  // What is the same for each group; [max_groups].
  std::vector<cublasOperation_t> transposed_;
  std::vector<cublasOperation_t> plain_;
  std::vector<int> out_cols_;
  std::vector<int> in_cols_;
  std::vector<float> ones_;
  std::vector<float> zeros_;
  std::vector<int> group_sizes_;
};

}  // namespace hashep
