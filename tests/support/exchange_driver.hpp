// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
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

  /// Is told of each part that has landed, in order: the exchange, the part and the expert rows as
  /// they are then. Where rows can be looked at meanwhile (on CPUs).
  using OnPart = std::function<void(const Exchange&, int part, MatrixView rows)>;
  void set_on_part(OnPart on_part) { on_part_ = std::move(on_part); }

 protected:
  OnPart on_part_;
};

/// How a caller on a CPU goes from part to part.
enum class BetweenParts {
  waits,  // dispatch of the next waits
  polls,  // `progress` is called until it would not, and after each part is given back, as by
          // layers
};

/// Of a transport on CPUs.
class HostDriver final : public ExchangeDriver {
 public:
  /// `transport` must outlive it.
  explicit HostDriver(Transport& transport, BetweenParts between = BetweenParts::waits)
      : transport_(transport), between_(between), exchange_(transport.make_exchange()) {}
  explicit HostDriver(std::unique_ptr<Transport> transport,
                      BetweenParts between = BetweenParts::waits)
      : owned_(std::move(transport)),
        transport_(*owned_),
        between_(between),
        exchange_(transport_.make_exchange()) {}

  void begin(const ExchangePlan& plan, DType dtype, int64_t hidden_size) override {
    transport_.reserve({&plan, 1}, dtype, hidden_size, {});
    exchange_->begin(plan);
    rows_ = transport_.expert_rows(plan);
  }
  MatrixView dispatch(ConstMatrixView x) override {
    for (int part = 0; part < exchange_->num_parts(); ++part) {
      while (part > 0 && polls() && !exchange_->progress()) std::this_thread::yield();
      exchange_->dispatch(part, x, {});
      if (on_part_) on_part_(*exchange_, part, rows_);
    }
    return rows_;
  }
  void combine(std::span<const float> weights, ConstMatrixView shared, MatrixView y) override {
    for (int part = 0; part < exchange_->num_parts(); ++part) {
      exchange_->give_back(part, weights, {});
      if (polls()) exchange_->progress();
    }
    exchange_->combine(weights, shared, y, {});
  }

 private:
  bool polls() const { return between_ == BetweenParts::polls; }

  std::unique_ptr<Transport> owned_;  // or null
  Transport& transport_;
  BetweenParts between_;
  std::unique_ptr<Exchange> exchange_;
  MatrixView rows_;
};

}  // namespace hashep::test
