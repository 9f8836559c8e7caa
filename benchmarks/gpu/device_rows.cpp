// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/gpu/device_rows.hpp"

#include <algorithm>

#include "benchmarks/layer_parts.hpp"
#include "core/cuda/stream.hpp"

namespace hashep::bench {

std::vector<std::byte> random_rows(DType dtype, int64_t rows, int64_t cols, uint64_t key) {
  std::vector<std::byte> bytes(rows * cols * dtype_size(dtype));
  fill_random_rows(key, 0, {bytes.data(), dtype, rows, cols});
  return bytes;
}

DeviceBuffer to_gpu(const void* data, int64_t bytes) {
  DeviceBuffer buffer(bytes);
  PinnedBuffer staging(bytes);
  const CudaStream stream;
  std::copy_n(static_cast<const std::byte*>(data), bytes, staging.data());
  copy_async(buffer.data(), staging.data(), bytes, stream);
  stream.synchronize();
  return buffer;
}

std::vector<std::byte> to_host(const std::byte* data, int64_t bytes) {
  PinnedBuffer staging(bytes);
  const CudaStream stream;
  copy_async(staging.data(), data, bytes, stream);
  stream.synchronize();
  return {staging.data(), staging.data() + bytes};
}

void poison(const DeviceBuffer& buffer) {
  const CudaStream stream;
  fill_async(buffer.data(), 0xff, buffer.capacity(), stream);
  stream.synchronize();
}

}  // namespace hashep::bench
