// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/check_cuda.hpp"

#include <cstdio>
#include <string>

#include "hashep/error.hpp"

namespace hashep {

void check_cuda(cudaError_t code, const char* call, const CallPlace& where) {
  if (code == cudaSuccess) return;
  cudaGetLastError();
  throw RunError(std::string(call) + " failed with " + cudaGetErrorName(code) + " (" +
                 std::to_string(static_cast<int>(code)) + "): " + cudaGetErrorString(code) +
                 ", at " + where.text());
}

void warn_cuda(cudaError_t code, const char* call) noexcept {
  if (code == cudaSuccess || code == cudaErrorCudartUnloading) return;
  cudaGetLastError();
  std::fprintf(stderr, "hashep: warning: %s failed with %s: %s\n", call, cudaGetErrorName(code),
               cudaGetErrorString(code));
}

}  // namespace hashep
