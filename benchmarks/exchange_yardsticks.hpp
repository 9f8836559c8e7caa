// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "benchmarks/bench_device.hpp"
#include "benchmarks/row_messages.hpp"
#include "hashep/exchange_plan.hpp"

namespace hashep::bench {

/// What is exchanged.
struct ExchangeSize {
  const ExchangePlan& plan;
  DType dtype = DType::f32;
  int64_t hidden_size = 0;
  int64_t most_sent = 0;  // rows, by the rank that sends most

  int64_t row_bytes() const { return hidden_size * dtype_size(dtype); }
};

/// Bytes that one step moves from this rank, and those of them that go to other ranks, if any may.
struct MovedBytes {
  int64_t all = 0;
  std::optional<int64_t> off_rank = std::nullopt;
};

/// Of dispatch (step 0) and combine (step 1).
MovedBytes moved_by_plan(const ExchangeSize& size, size_t step);

/// Something that an exchange is compared with, which knows no experts.
class ExchangeYardstick {
 public:
  virtual ~ExchangeYardstick() = default;

  /// As the table has it. Of several that share a name the fastest counts.
  virtual std::string_view name() const = 0;
  /// Which of several of a name this is; empty where there is one.
  virtual std::string_view way() const { return {}; }
  /// What each of its steps is called: dispatch and combine, or what is no part of an exchange.
  virtual std::span<const std::string_view> directions() const = 0;

  /// Makes room, and rows to move. The plan must outlive the use. Waits. Local.
  virtual void reserve(const ExchangeSize& size) = 0;
  /// In stream order. Collective.
  virtual void run(size_t step) = 0;
  /// Runs the step, and waits: elements that are not in their place then. Collective.
  virtual int64_t wrong_in(size_t step) = 0;
  virtual MovedBytes moved(size_t step) const = 0;
};

/// Rows that stand in the order of messages already, sent there and back as in dispatch and
/// combine; or, of equal sizes, there alone.
class RawExchange final : public ExchangeYardstick {
 public:
  enum class Rows { of_plan, equal };  // equal: to each rank as many, in all what most_sent says

  /// Both references must outlive it.
  RawExchange(std::string name, Rows rows, RowMessages& messages, BenchDevice& device);

  std::string_view name() const override { return name_; }
  std::span<const std::string_view> directions() const override;
  void reserve(const ExchangeSize& size) override;
  void run(size_t step) override;
  int64_t wrong_in(size_t step) override;
  MovedBytes moved(size_t step) const override { return moved_[step]; }

 private:
  MatrixView sent() { return sent_->matrix(dtype_, there_.total_send(), hidden_size_); }
  MatrixView received() { return received_->matrix(dtype_, there_.total_recv(), hidden_size_); }
  MatrixView returned() { return returned_->matrix(dtype_, there_.total_send(), hidden_size_); }

  std::string name_;
  Rows rows_;
  RowMessages& messages_;
  BenchDevice& device_;
  MessageRows there_;
  MessageRows back_;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  std::array<MovedBytes, 2> moved_;
  std::unique_ptr<BenchMemory> sent_;
  std::unique_ptr<BenchMemory> received_;
  std::unique_ptr<BenchMemory> returned_;
};

/// Rows and room for a copy of them in the memory of one device.
class CopyRows {
 public:
  /// `device` must outlive it.
  explicit CopyRows(BenchDevice& device)
      : device_(device), from_(device.make_memory()), to_(device.make_memory()) {}

  /// Waits. Local.
  void reserve(int64_t rows, DType dtype, int64_t hidden_size);

  MatrixView from() { return from_->matrix(dtype_, rows_, hidden_size_); }
  MatrixView to() { return to_->matrix(dtype_, rows_, hidden_size_); }
  /// Elements that are not in their place after `copy`. Runs it, and waits.
  int64_t wrong_after(const std::function<void()>& copy);

 private:
  BenchDevice& device_;
  int64_t rows_ = 0;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  std::unique_ptr<BenchMemory> from_;
  std::unique_ptr<BenchMemory> to_;
};

/// A local copy on each rank, all at once: the yardstick `copy_bound`.
class LocalCopy final : public ExchangeYardstick {
 public:
  using Copy = std::function<void(std::byte* to, const std::byte* from, int64_t bytes)>;
  using Count = std::function<int64_t(const ExchangePlan& plan)>;

  /// way: see ExchangeYardstick; count: rows that are copied. `rows`, which several copies may
  /// share, must outlive it.
  LocalCopy(std::string way, Copy copy, Count count, CopyRows& rows)
      : way_(std::move(way)), copy_(std::move(copy)), count_(std::move(count)), rows_(rows) {}

  std::string_view name() const override { return "copy_bound"; }
  std::string_view way() const override { return way_; }
  std::span<const std::string_view> directions() const override;
  void reserve(const ExchangeSize& size) override;
  void run(size_t) override { copy_(rows_.to().data, rows_.from().data, rows_.from().bytes()); }
  int64_t wrong_in(size_t step) override {
    return rows_.wrong_after([this, step] { run(step); });
  }
  MovedBytes moved(size_t) const override { return {rows_.from().bytes()}; }

 private:
  std::string way_;
  Copy copy_;
  Count count_;
  CopyRows& rows_;
};

/// Copies of host memory by these threads: by memcpy and by non-temporal stores. Each rank copies
/// what it sends in dispatch, total_send rows; for combine with top_k > 1, which reads top_k rows
/// of a token to write one, that is more than has to be written.
LocalCopy plain_copy(CopyRows& rows, int threads);
LocalCopy streaming_copy(CopyRows& rows, int threads);

}  // namespace hashep::bench
