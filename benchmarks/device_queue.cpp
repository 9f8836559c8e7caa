// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/device_queue.hpp"

#include <cstring>

namespace hashep::bench {
namespace {

constexpr int kSpins = 4096;    // polls of the GPU before the core is yielded between them
constexpr int kNaNByte = 0xff;  // of NaN in every dtype

}  // namespace

void DeviceQueue::wait() {
  done_.record(stream_);
  const auto is_done = [this] {
    if (check_) check_();
    return done_.is_done();
  };
  watch_.wait_until(kSpins, is_done, [] { return " for the GPU"; });
}

void DeviceQueue::upload(void* to, const void* from, int64_t bytes) {
  if (bytes == 0) return;
  to_gpu_.reserve(bytes);
  std::memcpy(to_gpu_.data(), from, static_cast<size_t>(bytes));
  copy_async(to, to_gpu_.data(), bytes, stream_);
  wait();
}

MatrixView DeviceQueue::download(ConstMatrixView rows) {
  from_gpu_.reserve(rows.bytes());
  copy_async(from_gpu_.data(), rows.data, rows.bytes(), stream_);
  wait();
  return from_gpu_.matrix(rows.dtype, rows.rows, rows.cols);
}

void poison(MatrixView rows, DeviceStream stream) {
  fill_async(rows.data, kNaNByte, rows.bytes(), stream);
}

void DeviceClock::start() {
  recorded_ = 0;
  lap();
}

void DeviceClock::lap() {
  if (recorded_ == events_.size()) events_.emplace_back(CudaEvent::Kind::timing);
  events_[recorded_++].record(queue_.stream());
}

std::vector<double> DeviceClock::laps() {
  queue_.wait();
  std::vector<double> laps;
  for (size_t i = 1; i < recorded_; ++i) {
    laps.push_back(microseconds_between(events_[i - 1], events_[i]));
  }
  return laps;
}

}  // namespace hashep::bench
