// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublasLt.h>

#include "tests/standin/blas.hpp"

namespace hashep::test::standin {

// What handles of cuBLASLt point to.
struct LtHandle : BlasObject {};

struct MatmulDesc : BlasObject {
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cudaDataType_t scale = CUDA_R_32F;
  cublasOperation_t transpose_a = CUBLAS_OP_N;
  cublasOperation_t transpose_b = CUBLAS_OP_N;
  int32_t multiprocessors = 0;  // 0: all
};

struct MatrixLayout : BlasObject {
  cudaDataType_t type = CUDA_R_32F;
  uint64_t rows = 0;
  uint64_t cols = 0;
  int64_t ld = 0;
};

struct MatmulPreference : BlasObject {
  static constexpr uint32_t kDefaultAlignment = 256;  // bytes, as documented

  uint64_t workspace_bytes = 0;
  uint32_t alignment[4] = {kDefaultAlignment, kDefaultAlignment, kDefaultAlignment,
                           kDefaultAlignment};  // of a, b, c, d
};

}  // namespace hashep::test::standin
