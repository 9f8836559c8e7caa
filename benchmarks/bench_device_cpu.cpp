// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/bench_device_cpu.hpp"

#include <cstring>

#include "benchmarks/exchange_check.hpp"
#include "kernels/rows/stream_copy.hpp"

namespace hashep::bench {

std::unique_ptr<BenchMemory> CpuBenchDevice::make_memory() {
  return std::make_unique<BenchMemoryOf<Buffer>>();
}

void CpuBenchDevice::upload(void* to, const void* from, int64_t bytes) {
  if (bytes == 0 || to == from) return;
  std::memcpy(to, from, bytes);
}

void CpuBenchDevice::poison(MatrixView rows) {
  bench::poison(rows);
}

void CpuBenchDevice::scrub() {
  if (lines_.capacity() == 0) {
    lines_.reserve(last_level_cache_bytes());
    std::memset(lines_.data(), 1, lines_.capacity());  // pages of its own
  }
  int64_t sum = 0;
  for (int64_t i = 0; i < lines_.capacity(); i += 64) {
    sum += static_cast<int64_t>(lines_.data()[i]);
  }
  lines_.data()[0] = static_cast<std::byte>(sum);
}

}  // namespace hashep::bench
