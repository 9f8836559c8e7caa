// SPDX-License-Identifier: Apache-2.0
#include "tests/support/device_exchange.hpp"

#include <algorithm>
#include <cstring>
#include <exception>

namespace hashep::test {
namespace {

constexpr int kSpins = 100;

}  // namespace

HostDrivenTransport::HostDrivenTransport(std::unique_ptr<DeviceTransport> transport, Watch& watch,
                                         bool graph)
    : transport_(std::move(transport)),
      watch_(watch),
      graph_(graph),
      exchange_(transport_->make_exchange()) {}

HostDrivenTransport::~HostDrivenTransport() {
  const bool fails = std::uncaught_exceptions() > 0;
  if (fails) transport_->begin_abort();
  captured_.reset();
  if (fails) transport_->end_abort();
}

void HostDrivenTransport::reserve(std::span<const ExchangePlan> plans, DType dtype,
                                  int64_t hidden_size) {
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  captured_.reset();
  transport_->reserve(plans, dtype, hidden_size, [this] { transport_->wait_for(stream_); });
}

void HostDrivenTransport::prepare(const ExchangePlan& plan) {
  captured_.reset();
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

void HostDrivenTransport::run(const std::function<void()>& work) {
  if (!graph_) {
    work();
  } else {
    captured_.emplace(stream_, work);
    captured_->launch(stream_);
  }
  wait();
}

void HostDrivenTransport::wait() {
  done_.record(stream_);
  const auto is_done = [&] {
    transport_->check();
    return done_.is_done();
  };
  watch_.wait_until(kSpins, is_done, [] { return ""; });
}

void HostDrivenTransport::upload(DeviceBuffer& to, const void* from, int64_t bytes) {
  if (bytes == 0) return;
  to.reserve(bytes);
  PinnedBuffer host(bytes);
  std::memcpy(host.data(), from, static_cast<size_t>(bytes));
  copy_async(to.data(), host.data(), bytes, stream_);
  wait();
}

void HostDrivenTransport::download(void* to, const std::byte* from, int64_t bytes) {
  if (bytes == 0) return;
  PinnedBuffer host(bytes);
  copy_async(host.data(), from, bytes, stream_);
  wait();
  std::memcpy(to, host.data(), static_cast<size_t>(bytes));
}

MatrixView HostDrivenTransport::dispatch(const ExchangePlan& plan, ConstMatrixView x) {
  prepare(plan);
  upload(x_, x.data, x.bytes());
  const MatrixView on_gpu = x_.matrix(dtype_, x.rows, x.cols);
  const MatrixView rows = transport_->expert_rows(plan);
  run([&] {
    for (int part = 0; part < exchange_->num_parts(); ++part) {
      exchange_->dispatch(part, on_gpu, stream_);
    }
  });
  host_rows_.reserve(rows.bytes());
  download(host_rows_.data(), rows.data, rows.bytes());
  return host_rows_.matrix(dtype_, rows.rows, rows.cols);
}

void HostDrivenTransport::combine(const ExchangePlan& plan, std::span<const float> weights,
                                  ConstMatrixView shared, MatrixView y) {
  captured_.reset();
  const MatrixView rows = transport_->expert_rows(plan);
  if (rows.bytes() > 0) {
    PinnedBuffer host(rows.bytes());
    std::memcpy(host.data(), host_rows_.data(), static_cast<size_t>(rows.bytes()));
    copy_async(rows.data, host.data(), rows.bytes(), stream_);
    wait();
  }
  upload(weights_, weights.data(), static_cast<int64_t>(weights.size_bytes()));
  upload(shared_, shared.data, shared.bytes());
  upload(y_, y.data, y.bytes());
  const std::span<const float> on_gpu(weights.empty() ? nullptr : weights_.as<const float>(),
                                      weights.size());
  const ConstMatrixView shared_on_gpu = shared_.matrix(dtype_, shared.rows, shared.cols);
  run([&] {
    for (int part = 0; part < exchange_->num_parts(); ++part) {
      exchange_->give_back(part, stream_);
    }
    exchange_->combine(on_gpu, shared.rows > 0 ? shared_on_gpu : ConstMatrixView{},
                       y_.matrix(dtype_, y.rows, y.cols), stream_);
  });
  download(y.data, y_.data(), y.bytes());
}

}  // namespace hashep::test
