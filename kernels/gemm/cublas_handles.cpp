// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/cublas_handles.hpp"

#include <cstdio>
#include <string>

#include "core/cuda/check_cuda.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

void warn_cublas(cublasStatus_t code, const char* call) noexcept {
  if (code == CUBLAS_STATUS_SUCCESS) return;
  std::fprintf(stderr, "hashep: warning: %s failed with %s\n", call, cublasGetStatusName(code));
}

}  // namespace

void check_cublas(cublasStatus_t code, const char* call, const CallPlace& where) {
  if (code == CUBLAS_STATUS_SUCCESS) return;
  throw RunError(std::string(call) + " failed with " + cublasGetStatusName(code) + " (" +
                 std::to_string(static_cast<int>(code)) + "): " + cublasGetStatusString(code) +
                 ", at " + where.text());
}

CublasLtHandle::CublasLtHandle() {
  check_cublas(cublasLtCreate(&handle_), "cublasLtCreate");
}

CublasLtHandle::~CublasLtHandle() {
  warn_cublas(cublasLtDestroy(handle_), "cublasLtDestroy");
}

CublasHandle::CublasHandle() {
  check_cublas(cublasCreate(&handle_), "cublasCreate");
}

CublasHandle::~CublasHandle() {
  if (handle_ != nullptr) warn_cublas(cublasDestroy(handle_), "cublasDestroy");
}

}  // namespace hashep
