// SPDX-License-Identifier: Apache-2.0
// cuBLASLt: the choice of an algorithm, and the product.
#include <algorithm>
#include <cstring>
#include <optional>

#include "tests/standin/cublas_lt.hpp"

using namespace hashep;
using namespace hashep::test::standin;

namespace {

constexpr uint64_t kWorkspaceNeed = 1024;  // bytes, where the preference allows as many

/// What the stand-in keeps in a cublasLtMatmulAlgo_t: the problem it was chosen for.
struct Algorithm {  // of trivial type, as it is copied by its bytes
  int64_t m, n, k;
  uint64_t workspace_bytes;
  uint16_t alignment[4];  // bytes, of a, b, c, d
  int16_t types[3];       // of a, c, and of sums
  int16_t transposed[2];

  bool operator==(const Algorithm&) const = default;
};
static_assert(sizeof(Algorithm) <= sizeof(cublasLtMatmulAlgo_t));

/// The operands of a product as they are described.
struct Problem {
  const MatmulDesc* desc = nullptr;
  const MatrixLayout* a = nullptr;
  const MatrixLayout* b = nullptr;
  const MatrixLayout* c = nullptr;
  const MatrixLayout* d = nullptr;
};

bool is_supported(const Problem& problem) {
  const cudaDataType_t in = problem.a->type;
  const cudaDataType_t out = problem.c->type;
  if (problem.b->type != in || problem.d->type != out || problem.desc->scale != CUDA_R_32F) {
    return false;
  }
  const cublasComputeType_t compute = problem.desc->compute;
  if (in == CUDA_R_16BF) {
    return (out == CUDA_R_16BF || out == CUDA_R_32F) && compute == CUBLAS_COMPUTE_32F;
  }
  return in == CUDA_R_32F && out == CUDA_R_32F &&
         (compute == CUBLAS_COMPUTE_32F || compute == CUBLAS_COMPUTE_32F_PEDANTIC);
}

GemmMatrix matrix(const MatrixLayout& layout, const void* data) {
  return {data, layout.type == CUDA_R_16BF ? DType::bf16 : DType::f32,
          static_cast<int64_t>(layout.rows), static_cast<int64_t>(layout.cols), layout.ld};
}

/// The product without addresses and factors. Empty operands are refused, as the real one does.
std::optional<Gemm> gemm(const Problem& problem) {
  Gemm made;
  made.transpose_a = problem.desc->transpose_a != CUBLAS_OP_N;
  made.transpose_b = problem.desc->transpose_b != CUBLAS_OP_N;
  made.a = matrix(*problem.a, nullptr);
  made.b = matrix(*problem.b, nullptr);
  made.c = matrix(*problem.c, nullptr);
  made.d = matrix(*problem.d, nullptr);
  if (!made.fits() || made.d.rows == 0 || made.d.cols == 0 || made.k() == 0) return std::nullopt;
  return made;
}

Algorithm algorithm_for(const Problem& problem, const Gemm& product) {
  Algorithm algorithm{product.d.rows, product.d.cols, product.k(), 0, {}, {}, {}};
  algorithm.types[0] = static_cast<int16_t>(problem.a->type);
  algorithm.types[1] = static_cast<int16_t>(problem.c->type);
  algorithm.types[2] = static_cast<int16_t>(problem.desc->compute);
  algorithm.transposed[0] = static_cast<int16_t>(problem.desc->transpose_a);
  algorithm.transposed[1] = static_cast<int16_t>(problem.desc->transpose_b);
  return algorithm;
}

/// Whether an algorithm was chosen for this problem, these addresses and so much workspace.
bool is_usable(const Algorithm& chosen, Algorithm wanted, const Gemm& product, size_t workspace) {
  wanted.workspace_bytes = chosen.workspace_bytes;
  std::copy_n(chosen.alignment, 4, wanted.alignment);
  if (chosen != wanted) return false;
  if (workspace < chosen.workspace_bytes) return false;
  const void* operands[] = {product.a.data, product.b.data, product.c.data, product.d.data};
  for (int i = 0; i < 4; ++i) {
    if (reinterpret_cast<uintptr_t>(operands[i]) % chosen.alignment[i] != 0) return false;
  }
  return true;
}

}  // namespace

extern "C" {

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int* returned) {
  return blas_call("cublasLtMatmulAlgoGetHeuristic", [&] {
    *returned = 0;
    const auto* wish = find_blas<MatmulPreference>(preference);
    const Problem problem{find_blas<MatmulDesc>(desc), find_blas<MatrixLayout>(a),
                          find_blas<MatrixLayout>(b), find_blas<MatrixLayout>(c),
                          find_blas<MatrixLayout>(d)};
    if (find_blas<LtHandle>(handle) == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (wish == nullptr || problem.desc == nullptr || problem.a == nullptr ||
        problem.b == nullptr || problem.c == nullptr || problem.d == nullptr || requested < 1) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (!is_supported(problem)) return CUBLAS_STATUS_NOT_SUPPORTED;
    const std::optional<Gemm> product = gemm(problem);
    if (!product) return CUBLAS_STATUS_INVALID_VALUE;
    Algorithm chosen = algorithm_for(problem, *product);
    chosen.workspace_bytes = std::min(wish->workspace_bytes, kWorkspaceNeed);
    for (int i = 0; i < 4; ++i) chosen.alignment[i] = static_cast<uint16_t>(wish->alignment[i]);
    results[0] = {};
    std::memcpy(&results[0].algo, &chosen, sizeof(chosen));
    results[0].workspaceSize = chosen.workspace_bytes;
    results[0].state = CUBLAS_STATUS_SUCCESS;
    results[0].wavesCount = 1.0f;
    *returned = 1;
    return CUBLAS_STATUS_SUCCESS;
  });
}

// Without an algorithm the real one chooses at the call: refused, as HashEP chooses ahead of steps.
cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algo,
                              void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  return blas_call("cublasLtMatmul", [&] {
    if (find_blas<LtHandle>(handle) == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
    const Problem problem{find_blas<MatmulDesc>(desc), find_blas<MatrixLayout>(a_layout),
                          find_blas<MatrixLayout>(b_layout), find_blas<MatrixLayout>(c_layout),
                          find_blas<MatrixLayout>(d_layout)};
    if (problem.desc == nullptr || problem.a == nullptr || problem.b == nullptr ||
        problem.c == nullptr || problem.d == nullptr || algo == nullptr) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (!is_supported(problem)) return CUBLAS_STATUS_NOT_SUPPORTED;
    std::optional<Gemm> product = gemm(problem);
    if (!product) return CUBLAS_STATUS_INVALID_VALUE;
    product->alpha = *static_cast<const float*>(alpha);
    product->beta = *static_cast<const float*>(beta);
    product->a.data = a;
    product->b.data = b;
    product->c.data = c;
    product->d.data = d;
    Algorithm chosen{};
    std::memcpy(&chosen, algo, sizeof(chosen));
    const Workspace used{workspace, std::min(workspace_bytes, size_t{chosen.workspace_bytes})};
    if (!product->is_in_memory() || !used.is_in_memory() ||
        !is_usable(chosen, algorithm_for(problem, *product), *product, workspace_bytes)) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
    const auto work = [product = *product, used] {
      used.spoil();
      product.run();
    };
    return ask_blas(stream, used, work, product->memory());
  });
}

}  // extern "C"
