// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/linear_gemm_cublas.hpp"

#include <algorithm>
#include <string>

#include "core/narrow.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

constexpr int64_t kBestAlignment = 256;  // bytes: of a DeviceBuffer, and all that cuBLASLt asks for

cudaDataType_t data_type(DType dtype) {
  return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

/// The largest power of two that divides a row's bytes: what any row of a matrix is aligned to.
uint32_t row_alignment(int64_t cols, DType dtype) {
  const int64_t bytes = cols * dtype_size(dtype);
  return narrow<uint32_t>(std::min(kBestAlignment, bytes & -bytes), "alignment");
}

/// cuBLASLt's descriptions, each destroyed as it was made.
struct DescDelete {
  void operator()(cublasLtMatmulDesc_t desc) const { cublasLtMatmulDescDestroy(desc); }
};
struct LayoutDelete {
  void operator()(cublasLtMatrixLayout_t layout) const { cublasLtMatrixLayoutDestroy(layout); }
};
struct PreferenceDelete {
  void operator()(cublasLtMatmulPreference_t preference) const {
    cublasLtMatmulPreferenceDestroy(preference);
  }
};
using Desc = std::unique_ptr<cublasLtMatmulDescOpaque_t, DescDelete>;
using Layout = std::unique_ptr<cublasLtMatrixLayoutOpaque_t, LayoutDelete>;
using Preference = std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, PreferenceDelete>;

Desc make_desc(int32_t multiprocessors) {
  cublasLtMatmulDesc_t made = nullptr;
  check_cublas(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F),
               "cublasLtMatmulDescCreate");
  Desc desc(made);
  const cublasOperation_t transposed = CUBLAS_OP_T;
  check_cublas(cublasLtMatmulDescSetAttribute(made, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                              sizeof(transposed)),
               "cublasLtMatmulDescSetAttribute");
  if (multiprocessors > 0) {
    check_cublas(cublasLtMatmulDescSetAttribute(made, CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET,
                                                &multiprocessors, sizeof(multiprocessors)),
                 "cublasLtMatmulDescSetAttribute");
  }
  return desc;
}

/// A column-major [rows, cols] matrix without gaps.
Layout make_layout(DType dtype, int64_t rows, int64_t cols) {
  cublasLtMatrixLayout_t made = nullptr;
  check_cublas(cublasLtMatrixLayoutCreate(&made, data_type(dtype), static_cast<uint64_t>(rows),
                                          static_cast<uint64_t>(cols), rows),
               "cublasLtMatrixLayoutCreate");
  return Layout(made);
}

template <typename T>
void set_preference(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute,
                    T value) {
  check_cublas(
      cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof(value)),
      "cublasLtMatmulPreferenceSetAttribute");
}

Preference make_preference(const LinearShape& shape, int64_t workspace_bytes) {
  cublasLtMatmulPreference_t made = nullptr;
  check_cublas(cublasLtMatmulPreferenceCreate(&made), "cublasLtMatmulPreferenceCreate");
  Preference preference(made);
  const uint32_t operand = row_alignment(shape.in_cols, shape.operands);
  const uint32_t result = row_alignment(shape.out_cols, shape.result);
  set_preference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                 static_cast<uint64_t>(workspace_bytes));
  // Parts of a sum are added in fp32, never in the result's type.
  set_preference(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                 static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  set_preference(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, operand);
  set_preference(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, operand);
  set_preference(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, result);
  set_preference(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, result);
  return preference;
}

std::string shape_text(const LinearShape& shape, int64_t rows) {
  return "[" + std::to_string(rows) + ", " + std::to_string(shape.in_cols) + "] x [" +
         std::to_string(shape.out_cols) + ", " + std::to_string(shape.in_cols) + "]^T, " +
         std::string(dtype_name(shape.operands)) + " to " + std::string(dtype_name(shape.result));
}

}  // namespace

/// A row-major matrix is the transpose of a column-major one, so that y^T = W x^T is what cuBLASLt
/// sees: A = W as [in_cols, out_cols], transposed; B = x as [in_cols, rows]; D = y as [out_cols,
/// rows].
struct LinearGemm::Choice {
  Desc desc;
  Layout a;
  Layout b;
  Layout d;
  cublasLtMatmulAlgo_t algo{};
};

LinearGemm::LinearGemm(const CublasLtHandle& lt, const LinearShape& shape, int64_t max_rows,
                       int64_t workspace_bytes, int multiprocessors)
    : lt_(lt),
      shape_(shape),
      workspace_bytes_(workspace_bytes),
      multiprocessors_(multiprocessors),
      choices_(static_cast<size_t>(max_rows) + 1) {}
LinearGemm::~LinearGemm() = default;
LinearGemm::LinearGemm(LinearGemm&&) noexcept = default;

void LinearGemm::prepare(int64_t rows) {
  std::unique_ptr<Choice>& choice = choices_.at(rows);
  if (rows == 0 || choice != nullptr) return;
  auto made = std::make_unique<Choice>();
  made->desc = make_desc(multiprocessors_);
  made->a = make_layout(shape_.operands, shape_.in_cols, shape_.out_cols);
  made->b = make_layout(shape_.operands, shape_.in_cols, rows);
  made->d = make_layout(shape_.result, shape_.out_cols, rows);
  const Preference preference = make_preference(shape_, workspace_bytes_);
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  const cublasStatus_t code = cublasLtMatmulAlgoGetHeuristic(
      lt_.get(), made->desc.get(), made->a.get(), made->b.get(), made->d.get(), made->d.get(),
      preference.get(), 1, &best, &found);
  if (code == CUBLAS_STATUS_NOT_SUPPORTED || (code == CUBLAS_STATUS_SUCCESS && found == 0)) {
    throw RunError("cuBLASLt has no algorithm for " + shape_text(shape_, rows));
  }
  check_cublas(code, "cublasLtMatmulAlgoGetHeuristic");
  check_cublas(best.state, "cublasLtMatmulAlgoGetHeuristic");
  made->algo = best.algo;
  choice = std::move(made);
}

void LinearGemm::run(int64_t rows, const void* x, const void* w, void* y,
                     const GemmWorkspace& workspace, DeviceStream stream) const {
  if (rows == 0) return;
  const Choice* const choice = choices_.at(rows).get();
  if (choice == nullptr || workspace.bytes < workspace_bytes_) {
    throw RunError("GEMM " + shape_text(shape_, rows) + ": run without prepare");
  }
  const float one = 1.0f;
  const float zero = 0.0f;
  check_cublas(
      cublasLtMatmul(lt_.get(), choice->desc.get(), &one, w, choice->a.get(), x, choice->b.get(),
                     &zero, y, choice->d.get(), y, choice->d.get(), &choice->algo, workspace.data,
                     static_cast<size_t>(workspace_bytes_), stream.handle),
      "cublasLtMatmul");
}

}  // namespace hashep
