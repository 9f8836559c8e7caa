// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "core/cuda/device_buffer.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep::bench {

/// Seeded normal rows in host memory.
std::vector<std::byte> random_rows(DType dtype, int64_t rows, int64_t cols, uint64_t key);

/// Copies to a new buffer in GPU memory, and back; both wait.
DeviceBuffer to_gpu(const void* data, int64_t bytes);
std::vector<std::byte> to_host(const std::byte* data, int64_t bytes);

/// Every byte 0xff: a NaN as fp32 and as bf16, so that what is not written shows. Waits.
void poison(const DeviceBuffer& buffer);

}  // namespace hashep::bench
