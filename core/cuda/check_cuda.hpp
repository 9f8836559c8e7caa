// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include "core/call_place.hpp"

namespace hashep {

/// Throws RunError with call, code, CUDA's own text and the caller's place where `code` is not
/// cudaSuccess. Takes the error off CUDA's record of the last one, so that it is not met again.
void check_cuda(cudaError_t code, const char* call, const CallPlace& where = CallPlace::current());

/// For destructors: a call that failed as its owner goes. Says so on stderr, in one line; nothing
/// where the CUDA runtime is itself being unloaded. Takes the error off the record too.
void warn_cuda(cudaError_t code, const char* call) noexcept;

}  // namespace hashep
