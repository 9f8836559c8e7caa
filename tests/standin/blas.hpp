// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublas_v2.h>

#include <memory>
#include <utility>

#include "tests/standin/gemm.hpp"
#include "tests/standin/state.hpp"

namespace hashep::test::standin {

/// A call of cuBLAS: counted, failing where it is to, else what `body` returns.
template <typename Body>
cublasStatus_t blas_call(const char* call, Body&& body) {
  if (const auto code = count_call(call)) return static_cast<cublasStatus_t>(*code);
  if (state().gpu_count == 0) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (state().work_error != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
  return body();
}

/// One that gives something back, which it does also where it is to fail (as cuda_release).
template <typename Body>
cublasStatus_t blas_release(const char* call, Body&& body) {
  const auto injected = count_call(call);
  const cublasStatus_t code = body();
  return injected ? static_cast<cublasStatus_t>(*injected) : code;
}

/// Makes what a handle of the library points to; `handle` is of one of its opaque types.
template <typename T, typename Handle>
cublasStatus_t make_blas(T object, Handle* handle) {
  BlasObject* made = state().blas_objects.add(std::make_unique<T>(std::move(object)));
  *handle = reinterpret_cast<Handle>(made);
  return CUBLAS_STATUS_SUCCESS;
}

/// Null where the handle is none of this type.
template <typename T>
T* find_blas(const void* handle) {
  return dynamic_cast<T*>(state().blas_objects.find(handle));
}

template <typename T>
cublasStatus_t drop_blas(const void* handle) {
  if (find_blas<T>(handle) == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  state().blas_objects.remove(handle);
  return CUBLAS_STATUS_SUCCESS;
}

/// Memory that one call may use at a time.
struct Workspace {
  void* data = nullptr;
  size_t bytes = 0;

  bool is_in_memory() const {
    return bytes == 0 || state().memory.is_gpu(data, static_cast<int64_t>(bytes));
  }
  /// What a GEMM does to it.
  void spoil() const;
};

/// Queues work that uses a workspace, and other memory. CUBLAS_STATUS_INVALID_VALUE where the
/// workspace may still be in use by work that this has no order to.
cublasStatus_t ask_blas(cudaStream_t stream, const Workspace& workspace, std::function<void()> work,
                        MemoryRanges memory);

}  // namespace hashep::test::standin
