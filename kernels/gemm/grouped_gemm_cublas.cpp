// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/grouped_gemm_cublas.hpp"

#include <string>

#include "core/narrow.hpp"
#include "hashep/error.hpp"

namespace hashep {

GroupedGemm::GroupedGemm(const LinearShape& shape, int64_t max_groups, int64_t workspace_bytes)
    : shape_(shape),
      workspace_(workspace_bytes),
      transposed_(max_groups, CUBLAS_OP_T),
      plain_(max_groups, CUBLAS_OP_N),
      out_cols_(max_groups, narrow<int>(shape.out_cols, "GEMM columns")),
      in_cols_(max_groups, narrow<int>(shape.in_cols, "GEMM columns")),
      ones_(max_groups, 1.0f),
      zeros_(max_groups, 0.0f),
      group_sizes_(max_groups, 1) {
  if (shape.operands != shape.result) {
    throw RunError("grouped GEMM: cuBLAS offers operands and results of one dtype alone");
  }
}

void GroupedGemm::run(const GroupedProducts& products, DeviceStream stream) const {
  if (products.rows.empty()) return;
  if (products.rows.size() > ones_.size()) {
    throw RunError("grouped GEMM: " + std::to_string(products.rows.size()) +
                   " products, made for " + std::to_string(ones_.size()));
  }
  const cudaDataType_t type = shape_.operands == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
  check_cublas(cublasSetStream(cublas_.get(), stream.handle), "cublasSetStream");
  // A stream's change takes the workspace back to cuBLAS's own, which graphs must not hold.
  check_cublas(cublasSetWorkspace(cublas_.get(), workspace_.data(),
                                  static_cast<size_t>(workspace_.capacity())),
               "cublasSetWorkspace");
  // Row-major matrices are the transposes of column-major ones: y^T = W x^T (see LinearGemm).
  check_cublas(
      cublasGemmGroupedBatchedEx(
          cublas_.get(), transposed_.data(), plain_.data(), out_cols_.data(), products.rows.data(),
          in_cols_.data(), ones_.data(), products.w, type, in_cols_.data(), products.x, type,
          in_cols_.data(), zeros_.data(), products.y, type, out_cols_.data(),
          static_cast<int>(products.rows.size()), group_sizes_.data(), CUBLAS_COMPUTE_32F),
      "cublasGemmGroupedBatchedEx");
}

}  // namespace hashep
