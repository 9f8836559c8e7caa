// SPDX-License-Identifier: Apache-2.0
#pragma once

// A kernel's body is one inline function for host and device: the GPU runs it, and tests on any
// machine run the very same index arithmetic. Both macros are nothing to a compiler without CUDA.

#if defined(__CUDACC__)
#define HASHEP_HOST_DEVICE __host__ __device__
/// The loop's counter is a constant in each pass, so that arrays it indexes stay in registers.
#define HASHEP_UNROLL _Pragma("unroll")
#else
#define HASHEP_HOST_DEVICE
#define HASHEP_UNROLL
#endif
