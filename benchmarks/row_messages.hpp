// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "benchmarks/bench_device.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep::bench {

/// How many rows go to and come from each rank, and where they stand, as messages have it: narrow.
/// counts: [ranks]; displs: [ranks + 1], the last is the sum.
struct MessageRows {
  std::vector<int> send_counts;
  std::vector<int> send_displs;
  std::vector<int> recv_counts;
  std::vector<int> recv_displs;

  /// Of dispatch. Throws RunError where there are too many rows for a message.
  static MessageRows of(const ExchangePlan& plan);
  /// `rows` to each rank.
  static MessageRows equal(int ranks, int64_t rows);
  /// The way back, as of combine.
  MessageRows reversed() const { return {recv_counts, recv_displs, send_counts, send_displs}; }

  int64_t total_send() const { return send_displs.back(); }
  int64_t total_recv() const { return recv_displs.back(); }
};

/// Sends rows that stand in the order of messages, a message to each rank that gets some.
class RowMessages {
 public:
  virtual ~RowMessages() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Memory that messages come from and go to.
  virtual std::unique_ptr<BenchMemory> make_memory() = 0;
  /// What rows are from now on. Local.
  virtual void set_row(DType dtype, int64_t hidden_size) = 0;
  /// Collective.
  virtual void exchange(const MessageRows& rows, ConstMatrixView from, MatrixView to) = 0;
};

}  // namespace hashep::bench
