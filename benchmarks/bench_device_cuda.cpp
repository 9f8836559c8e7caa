// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/bench_device_cuda.hpp"

#include <cstring>

namespace hashep::bench {
namespace {

constexpr int kSpins = 4096;    // polls of the GPU before the core is yielded between them
constexpr int kNaNByte = 0xff;  // of NaN in every dtype
constexpr int64_t kScrubs = 2;  // of the GPU's L2 cache, to leave nothing of the last sample there

}  // namespace

CudaBenchDevice::CudaBenchDevice(Watch& watch, int64_t l2_bytes)
    : watch_(watch), scrub_(kScrubs * l2_bytes) {}

std::unique_ptr<BenchMemory> CudaBenchDevice::make_memory() {
  return std::make_unique<BenchMemoryOf<DeviceBuffer>>();
}

void CudaBenchDevice::wait() {
  done_.record(stream_);
  const auto is_done = [this] {
    if (check_) check_();
    return done_.is_done();
  };
  watch_.wait_until(kSpins, is_done, [] { return " for the GPU"; });
}

void CudaBenchDevice::upload(void* to, const void* from, int64_t bytes) {
  if (bytes == 0) return;
  to_gpu_.reserve(bytes);
  std::memcpy(to_gpu_.data(), from, bytes);
  copy_async(to, to_gpu_.data(), bytes, stream_);
  wait();
}

MatrixView CudaBenchDevice::download(MatrixView rows) {
  from_gpu_.reserve(rows.bytes());
  copy_async(from_gpu_.data(), rows.data, rows.bytes(), stream_);
  wait();
  return from_gpu_.matrix(rows.dtype, rows.rows, rows.cols);
}

void CudaBenchDevice::poison(MatrixView rows) {
  fill_async(rows.data, kNaNByte, rows.bytes(), stream_);
}

void CudaBenchDevice::scrub() {
  fill_async(scrub_.data(), 0, scrub_.capacity(), stream_);
  wait();
}

void CudaBenchDevice::EventClock::start() {
  recorded_ = 0;
  lap();
}

void CudaBenchDevice::EventClock::lap() {
  if (recorded_ == events_.size()) events_.emplace_back(CudaEvent::Kind::timing);
  events_[recorded_++].record(device_.stream());
}

std::vector<double> CudaBenchDevice::EventClock::laps() {
  device_.wait();
  std::vector<double> laps;
  for (size_t i = 1; i < recorded_; ++i) {
    laps.push_back(microseconds_between(events_[i - 1], events_[i]));
  }
  return laps;
}

}  // namespace hashep::bench
