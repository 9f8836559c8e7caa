// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <thread>

#include "comm/exchange/transport.hpp"

namespace hashep::test {

/// Sends rows of host memory through one exchange of a transport, whatever its device, so that one
/// suite fits all.
class ExchangeDriver {
 public:
  virtual ~ExchangeDriver() = default;

  /// Makes room for a plan, which must stay, and begins its exchange. Collective.
  virtual void begin(const ExchangePlan& plan, DType dtype, int64_t hidden_size) = 0;
  /// Returns the expert rows, to be changed in place. Collective.
  virtual MatrixView dispatch(ConstMatrixView x) = 0;
  /// Collective.
  virtual void combine(std::span<const float> weights, ConstMatrixView shared, MatrixView y) = 0;
};

/// Of a transport on CPUs, which must outlive it. `progresses`: between parts it polls until the
/// next has landed, as a layer does that computes meanwhile.
class HostDriver final : public ExchangeDriver {
 public:
  explicit HostDriver(Transport& transport, bool progresses = false)
      : transport_(transport), progresses_(progresses), exchange_(transport.make_exchange()) {}

  void begin(const ExchangePlan& plan, DType dtype, int64_t hidden_size) override {
    transport_.reserve({&plan, 1}, dtype, hidden_size, {});
    exchange_->begin(plan);
    rows_ = transport_.expert_rows(plan);
  }
  MatrixView dispatch(ConstMatrixView x) override {
    for (int part = 0; part < exchange_->num_parts(); ++part) {
      while (progresses_ && part > 0 && !exchange_->progress()) std::this_thread::yield();
      exchange_->dispatch(part, x, {});
    }
    return rows_;
  }
  void combine(std::span<const float> weights, ConstMatrixView shared, MatrixView y) override {
    for (int part = 0; part < exchange_->num_parts(); ++part) {
      exchange_->give_back(part, weights, {});
      if (progresses_) exchange_->progress();
    }
    exchange_->combine(weights, shared, y, {});
  }

 private:
  Transport& transport_;
  bool progresses_;
  std::unique_ptr<Exchange> exchange_;
  MatrixView rows_;
};

}  // namespace hashep::test
