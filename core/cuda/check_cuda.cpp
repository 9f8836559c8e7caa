// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/check_cuda.hpp"

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>

#include "core/error.hpp"

namespace hashep {

void check_cuda(cudaError_t code, const char* call, const std::source_location& where) {
  if (code == cudaSuccess) return;
  cudaGetLastError();
  std::string_view file = where.file_name();
  file.remove_prefix(std::min(file.size(), file.find_last_of('/') + 1));
  throw RunError(std::string(call) + " failed with " + cudaGetErrorName(code) + " (" +
                 std::to_string(static_cast<int>(code)) + "): " + cudaGetErrorString(code) +
                 ", at " + std::string(file) + ":" + std::to_string(where.line()));
}

void warn_cuda(cudaError_t code, const char* call) noexcept {
  if (code == cudaSuccess || code == cudaErrorCudartUnloading) return;
  cudaGetLastError();
  std::fprintf(stderr, "hashep: warning: %s failed with %s: %s\n", call, cudaGetErrorName(code),
               cudaGetErrorString(code));
}

}  // namespace hashep
