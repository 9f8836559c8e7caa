// SPDX-License-Identifier: Apache-2.0
#pragma once

struct CUstream_st;  // CUDA's own name for what cudaStream_t points to

namespace hashep {

/// A borrowed CUDA stream: what a call with this argument does is done in the stream's order, on
/// memory of its GPU, after the call has returned. Opaque, so that headers need no CUDA.
struct DeviceStream {
  CUstream_st* handle = nullptr;
};

}  // namespace hashep
