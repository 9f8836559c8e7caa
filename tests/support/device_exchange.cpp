// SPDX-License-Identifier: Apache-2.0
#include "tests/support/device_exchange.hpp"

#include <algorithm>
#include <cstring>
#include <exception>

namespace hashep::test {
namespace {

constexpr int kSpins = 100;

}  // namespace

DeviceDriver::DeviceDriver(std::unique_ptr<Transport> transport, Watch& watch, bool graph)
    : transport_(std::move(transport)),
      watch_(watch),
      graph_(graph),
      exchange_(transport_->make_exchange()) {}

DeviceDriver::~DeviceDriver() {
  const bool fails = std::uncaught_exceptions() > 0;
  if (fails) transport_->begin_abort();
  captured_.reset();
  if (fails) transport_->end_abort();
}

void DeviceDriver::begin(const ExchangePlan& plan, DType dtype, int64_t hidden_size) {
  captured_.reset();
  transport_->reserve({&plan, 1}, dtype, hidden_size, [this] { transport_->wait_for(stream_); });
  rows_ = transport_->expert_rows(plan);
  exchange_->begin(plan);
  ArrayLayout measured;
  exchange_->lay_out(measured);
  staging_.reserve(measured.bytes());
  arrays_.reserve(measured.bytes());
  ArrayLayout layout(staging_.data(), arrays_.data());
  exchange_->lay_out(layout);
  copy_async(arrays_.data(), staging_.data(), layout.bytes(), stream_);
  wait();
}

void DeviceDriver::run(const std::function<void()>& work) {
  if (!graph_) {
    work();
  } else {
    captured_.emplace(stream_, work);
    captured_->launch(stream_);
  }
  wait();
}

void DeviceDriver::wait() {
  done_.record(stream_);
  const auto is_done = [&] {
    transport_->check();
    return done_.is_done();
  };
  watch_.wait_until(kSpins, is_done, [] { return ""; });
}

void DeviceDriver::upload(DeviceBuffer& to, const void* from, int64_t bytes) {
  if (bytes == 0) return;
  to.reserve(bytes);
  PinnedBuffer host(bytes);
  std::memcpy(host.data(), from, bytes);
  copy_async(to.data(), host.data(), bytes, stream_);
  wait();
}

void DeviceDriver::download(void* to, const std::byte* from, int64_t bytes) {
  if (bytes == 0) return;
  PinnedBuffer host(bytes);
  copy_async(host.data(), from, bytes, stream_);
  wait();
  std::memcpy(to, host.data(), bytes);
}

MatrixView DeviceDriver::dispatch(ConstMatrixView x) {
  captured_.reset();
  upload(x_, x.data, x.bytes());
  const MatrixView on_gpu = x_.matrix(x.dtype, x.rows, x.cols);
  run([&] { exchange_->dispatch_all(on_gpu, stream_); });
  host_rows_.reserve(rows_.bytes());
  download(host_rows_.data(), rows_.data, rows_.bytes());
  return host_rows_.matrix(rows_.dtype, rows_.rows, rows_.cols);
}

void DeviceDriver::combine(std::span<const float> weights, ConstMatrixView shared, MatrixView y) {
  captured_.reset();
  if (rows_.bytes() > 0) {
    PinnedBuffer host(rows_.bytes());
    std::memcpy(host.data(), host_rows_.data(), rows_.bytes());
    copy_async(rows_.data, host.data(), rows_.bytes(), stream_);
    wait();
  }
  upload(weights_, weights.data(), static_cast<int64_t>(weights.size_bytes()));
  upload(shared_, shared.data, shared.bytes());
  upload(y_, y.data, y.bytes());
  const std::span<const float> on_gpu(weights.empty() ? nullptr : weights_.as<const float>(),
                                      weights.size());
  const ConstMatrixView shared_on_gpu = shared_.matrix(y.dtype, shared.rows, shared.cols);
  run([&] {
    exchange_->return_all(on_gpu, shared.rows > 0 ? shared_on_gpu : ConstMatrixView{},
                          y_.matrix(y.dtype, y.rows, y.cols), stream_);
  });
  download(y.data, y_.data(), y.bytes());
}

}  // namespace hashep::test
