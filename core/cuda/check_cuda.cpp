// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/check_cuda.hpp"

#include <cstdio>
#include <string>
#include <string_view>

#include "core/error.hpp"

namespace hashep {

std::string place_text(const std::source_location& where) {
  std::string_view file = where.file_name();
  file.remove_prefix(file.find_last_of('/') + 1);  // 0 where there is none
  return std::string(file) + ":" + std::to_string(where.line());
}

void check_cuda(cudaError_t code, const char* call, const std::source_location& where) {
  if (code == cudaSuccess) return;
  cudaGetLastError();
  throw RunError(std::string(call) + " failed with " + cudaGetErrorName(code) + " (" +
                 std::to_string(static_cast<int>(code)) + "): " + cudaGetErrorString(code) +
                 ", at " + place_text(where));
}

void warn_cuda(cudaError_t code, const char* call) noexcept {
  if (code == cudaSuccess || code == cudaErrorCudartUnloading) return;
  cudaGetLastError();
  std::fprintf(stderr, "hashep: warning: %s failed with %s: %s\n", call, cudaGetErrorName(code),
               cudaGetErrorString(code));
}

}  // namespace hashep
