// SPDX-License-Identifier: Apache-2.0
// cuBLAS: its handle and the grouped GEMM.
#include <cublas_v2.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "hashep/error.hpp"
#include "tests/standin/blas.hpp"

using namespace hashep;
using namespace hashep::test::standin;

namespace {

constexpr int kVersion = 130100;
constexpr uintptr_t kWorkspaceAlignment = 256;  // bytes, of cublasSetWorkspace
constexpr size_t kWorkspaceUse = 4096;          // bytes that a GEMM spoils at most

struct BlasHandle : BlasObject {
  cudaStream_t stream = nullptr;
  Workspace workspace;
  bool has_workspace = false;
};

/// A group's GEMM, still without addresses, and how many there are of it.
struct Group {
  Gemm gemm;
  int count = 0;
};

/// Where the addresses of all groups' matrices stand, in GPU memory.
struct Addresses {
  const void* const* a = nullptr;
  const void* const* b = nullptr;
  void* const* c = nullptr;

  MemoryRanges memory(int64_t count) const {
    const int64_t bytes = count * static_cast<int64_t>(sizeof(void*));
    return {{a, bytes}, {b, bytes}, {c, bytes}};
  }
  bool is_in_memory(int64_t count) const {
    const int64_t bytes = count * static_cast<int64_t>(sizeof(void*));
    const Memory& memory = state().memory;
    return count == 0 ||
           (memory.is_gpu(a, bytes) && memory.is_gpu(b, bytes) && memory.is_gpu(c, bytes));
  }
};

bool is_supported(cudaDataType_t a, cudaDataType_t b, cudaDataType_t c,
                  cublasComputeType_t compute) {
  if (a != b || a != c) return false;
  if (a == CUDA_R_16BF) return compute == CUBLAS_COMPUTE_32F;
  return a == CUDA_R_32F &&
         (compute == CUBLAS_COMPUTE_32F || compute == CUBLAS_COMPUTE_32F_PEDANTIC);
}

void run_groups(const std::vector<Group>& groups, const Addresses& addresses) {
  size_t next = 0;
  for (const Group& group : groups) {
    for (int i = 0; i < group.count; ++i, ++next) {
      Gemm gemm = group.gemm;
      gemm.a.data = addresses.a[next];
      gemm.b.data = addresses.b[next];
      gemm.c.data = gemm.d.data = addresses.c[next];
      if (!gemm.is_in_memory()) {
        throw RunError("grouped GEMM " + std::to_string(next) + " leaves its GPU memory");
      }
      gemm.run();
    }
  }
}

}  // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  return blas_call("cublasCreate", [&] {
    if (refuse_in_capture() != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
    return make_blas(BlasHandle{}, handle);
  });
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  return blas_release("cublasDestroy", [&] {
    run_all();
    return drop_blas<BlasHandle>(handle);
  });
}

cublasStatus_t cublasGetVersion_v2(cublasHandle_t handle, int* version) {
  return blas_call("cublasGetVersion", [&] {
    if (find_blas<BlasHandle>(handle) == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
    *version = kVersion;
    return CUBLAS_STATUS_SUCCESS;
  });
}

// As the documentation says, this takes the workspace away.
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  return blas_call("cublasSetStream", [&] {
    auto* found = find_blas<BlasHandle>(handle);
    if (found == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
    found->stream = stream;
    found->workspace = {};
    found->has_workspace = false;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* data, size_t bytes) {
  return blas_call("cublasSetWorkspace", [&] {
    auto* found = find_blas<BlasHandle>(handle);
    if (found == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
    const Workspace workspace{data, bytes};
    if (!workspace.is_in_memory() || reinterpret_cast<uintptr_t>(data) % kWorkspaceAlignment != 0) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
    found->workspace = workspace;
    found->has_workspace = true;
    return CUBLAS_STATUS_SUCCESS;
  });
}

// TF32 is refused: HashEP's fp32 is fp32.
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  return blas_call("cublasSetMathMode", [&] {
    if (find_blas<BlasHandle>(handle) == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
    return mode == CUBLAS_TF32_TENSOR_OP_MATH ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
  });
}

// Shapes are read now, addresses when the work is done. A handle without a workspace is refused:
// the real one would use memory of its own, which a capture may not.
cublasStatus_t cublasGemmGroupedBatchedEx(
    cublasHandle_t handle, const cublasOperation_t transa[], const cublasOperation_t transb[],
    const int m[], const int n[], const int k[], const void* alpha, const void* const a[],
    cudaDataType_t a_type, const int lda[], const void* const b[], cudaDataType_t b_type,
    const int ldb[], const void* beta, void* const c[], cudaDataType_t c_type, const int ldc[],
    int group_count, const int group_size[], cublasComputeType_t compute) {
  return blas_call("cublasGemmGroupedBatchedEx", [&] {
    auto* found = find_blas<BlasHandle>(handle);
    if (found == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (!is_supported(a_type, b_type, c_type, compute)) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (!found->has_workspace) return CUBLAS_STATUS_ALLOC_FAILED;
    const DType dtype = a_type == CUDA_R_16BF ? DType::bf16 : DType::f32;
    std::vector<Group> groups;
    int64_t count = 0;
    for (int g = 0; g < group_count; ++g) {
      if (m[g] < 0 || n[g] < 0 || k[g] < 0 || group_size[g] < 0) return CUBLAS_STATUS_INVALID_VALUE;
      Gemm gemm;
      gemm.transpose_a = transa[g] != CUBLAS_OP_N;
      gemm.transpose_b = transb[g] != CUBLAS_OP_N;
      gemm.alpha = static_cast<const float*>(alpha)[g];
      gemm.beta = static_cast<const float*>(beta)[g];
      gemm.a = {nullptr, dtype, m[g], k[g], lda[g]};
      gemm.b = {nullptr, dtype, k[g], n[g], ldb[g]};
      gemm.c = gemm.d = {nullptr, dtype, m[g], n[g], ldc[g]};
      if (gemm.transpose_a) std::swap(gemm.a.rows, gemm.a.cols);
      if (gemm.transpose_b) std::swap(gemm.b.rows, gemm.b.cols);
      if (!gemm.fits()) return CUBLAS_STATUS_INVALID_VALUE;
      groups.push_back({gemm, group_size[g]});
      count += group_size[g];
    }
    const Addresses addresses{a, b, c};
    Workspace workspace = found->workspace;
    if (!addresses.is_in_memory(count) || !workspace.is_in_memory()) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
    workspace.bytes = std::min(workspace.bytes, kWorkspaceUse);
    const auto work = [=, groups = std::move(groups)] {
      workspace.spoil();
      run_groups(groups, addresses);
    };
    return ask_blas(found->stream, workspace, work, addresses.memory(count));
  });
}

}  // extern "C"
