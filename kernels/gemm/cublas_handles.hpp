// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublasLt.h>
#include <cublas_v2.h>

#include <utility>

#include "core/call_place.hpp"

namespace hashep {

/// Throws RunError with call, code, cuBLAS's own text and the caller's place where `code` is not
/// CUBLAS_STATUS_SUCCESS.
void check_cublas(cublasStatus_t code, const char* call,
                  const CallPlace& where = CallPlace::current());

/// Owns a cuBLASLt handle of the current GPU. Holds no stream and no workspace.
class CublasLtHandle {
 public:
  CublasLtHandle();
  ~CublasLtHandle();
  CublasLtHandle(const CublasLtHandle&) = delete;
  CublasLtHandle& operator=(const CublasLtHandle&) = delete;

  cublasLtHandle_t get() const { return handle_; }

 private:
  cublasLtHandle_t handle_ = nullptr;
};

/// Owns a cuBLAS handle of the current GPU.
class CublasHandle {
 public:
  CublasHandle();
  ~CublasHandle();
  CublasHandle(CublasHandle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  CublasHandle& operator=(CublasHandle&&) = delete;

  cublasHandle_t get() const { return handle_; }

 private:
  cublasHandle_t handle_ = nullptr;
};

}  // namespace hashep
