// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/gpu/device_rows.hpp"

#include <algorithm>

#include "core/cuda/stream.hpp"
#include "core/random.hpp"

namespace hashep::bench {

std::vector<std::byte> random_rows(DType dtype, int64_t rows, int64_t cols, uint64_t key) {
  std::vector<float> row(static_cast<size_t>(cols));
  std::vector<std::byte> bytes(static_cast<size_t>(rows * cols * dtype_size(dtype)));
  const MatrixView out{bytes.data(), dtype, rows, cols};
  for (int64_t i = 0; i < rows; ++i) {
    fill_normal(key, i * cols, row);
    convert_from_float(row.data(), cols, dtype, out.row(i));
  }
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
