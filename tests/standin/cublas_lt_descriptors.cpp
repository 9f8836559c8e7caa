// SPDX-License-Identifier: Apache-2.0
// cuBLASLt: the handle, and what describes a product. What HashEP has no use for is refused, so
// that nothing is set here without effect that would have one on a GPU.
#include <cstring>

#include "tests/standin/cublas_lt.hpp"

using namespace hashep::test::standin;

namespace {

constexpr size_t kVersion = 130100;

/// Copies an attribute whose size must be that of `value`.
template <typename T>
cublasStatus_t take(const void* from, size_t bytes, T& value) {
  if (from == nullptr || bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&value, from, sizeof(T));
  return CUBLAS_STATUS_SUCCESS;
}

/// An attribute that may have one value only.
cublasStatus_t expect(const void* from, size_t bytes, int32_t only) {
  int32_t value = 0;
  if (const auto status = take(from, bytes, value); status != CUBLAS_STATUS_SUCCESS) return status;
  return value == only ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

}  // namespace

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  return blas_call("cublasLtCreate", [&] { return make_blas(LtHandle{}, handle); });
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  return blas_release("cublasLtDestroy", [&] { return drop_blas<LtHandle>(handle); });
}

size_t cublasLtGetVersion() {
  return kVersion;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  return blas_call("cublasLtMatmulDescCreate", [&] {
    MatmulDesc made;
    made.compute = compute;
    made.scale = scale;
    return make_blas(made, desc);
  });
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  return blas_release("cublasLtMatmulDescDestroy", [&] { return drop_blas<MatmulDesc>(desc); });
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* from, size_t bytes) {
  return blas_call("cublasLtMatmulDescSetAttribute", [&] {
    auto* found = find_blas<MatmulDesc>(desc);
    if (found == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    switch (attribute) {
      case CUBLASLT_MATMUL_DESC_TRANSA:
        return take(from, bytes, found->transpose_a);
      case CUBLASLT_MATMUL_DESC_TRANSB:
        return take(from, bytes, found->transpose_b);
      case CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET:
        return take(from, bytes, found->multiprocessors);
      case CUBLASLT_MATMUL_DESC_POINTER_MODE:
        return expect(from, bytes, CUBLASLT_POINTER_MODE_HOST);
      case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return expect(from, bytes, CUBLASLT_EPILOGUE_DEFAULT);
      default:
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
  });
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld) {
  return blas_call("cublasLtMatrixLayoutCreate", [&] {
    MatrixLayout made;
    made.type = type;
    made.rows = rows;
    made.cols = cols;
    made.ld = ld;
    return make_blas(made, layout);
  });
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return blas_release("cublasLtMatrixLayoutDestroy",
                      [&] { return drop_blas<MatrixLayout>(layout); });
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void* from, size_t bytes) {
  return blas_call("cublasLtMatrixLayoutSetAttribute", [&] {
    auto* found = find_blas<MatrixLayout>(layout);
    if (found == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    switch (attribute) {
      case CUBLASLT_MATRIX_LAYOUT_TYPE:
        return take(from, bytes, found->type);
      case CUBLASLT_MATRIX_LAYOUT_ROWS:
        return take(from, bytes, found->rows);
      case CUBLASLT_MATRIX_LAYOUT_COLS:
        return take(from, bytes, found->cols);
      case CUBLASLT_MATRIX_LAYOUT_LD:
        return take(from, bytes, found->ld);
      case CUBLASLT_MATRIX_LAYOUT_ORDER:
        return expect(from, bytes, CUBLASLT_ORDER_COL);
      case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
        return expect(from, bytes, 1);
      default:
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
  });
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return blas_call("cublasLtMatmulPreferenceCreate",
                   [&] { return make_blas(MatmulPreference{}, preference); });
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return blas_release("cublasLtMatmulPreferenceDestroy",
                      [&] { return drop_blas<MatmulPreference>(preference); });
}

// Masks and the search mode only narrow a choice that the stand-in doesn't have.
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* from, size_t bytes) {
  return blas_call("cublasLtMatmulPreferenceSetAttribute", [&] {
    auto* found = find_blas<MatmulPreference>(preference);
    if (found == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    switch (attribute) {
      case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return take(from, bytes, found->workspace_bytes);
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
        return take(from, bytes, found->alignment[0]);
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
        return take(from, bytes, found->alignment[1]);
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
        return take(from, bytes, found->alignment[2]);
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return take(from, bytes, found->alignment[3]);
      default:
        return CUBLAS_STATUS_SUCCESS;
    }
  });
}

}  // extern "C"
