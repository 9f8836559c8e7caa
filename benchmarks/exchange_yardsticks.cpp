// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/exchange_yardsticks.hpp"

#include <cstring>
#include <vector>

#include "benchmarks/exchange_check.hpp"
#include "comm/plan/plan_stats.hpp"
#include "core/narrow.hpp"
#include "hashep/buffer.hpp"
#include "kernels/parallel.hpp"
#include "kernels/rows/stream_copy.hpp"

namespace hashep::bench {
namespace {

constexpr int64_t kBytesPerThread = 65536;  // fewer are copied sooner than a thread wakes up
constexpr std::array<std::string_view, 2> kBothWays = {"dispatch", "combine"};
constexpr std::array<std::string_view, 1> kEqual = {"equal"};
constexpr std::array<std::string_view, 1> kCopy = {"copy"};

std::vector<int> narrowed(std::span<const int64_t> values, const char* what) {
  std::vector<int> narrow_values;
  for (const int64_t value : values) narrow_values.push_back(narrow<int>(value, what));
  return narrow_values;
}

/// Elements of rows in host memory that are not those of their messages. `address(rank, i)`: what
/// row i of the message from or to a rank must be.
template <typename Address>
int64_t wrong_in_messages(ConstMatrixView rows, const std::vector<int>& counts,
                          const std::vector<int>& displs, Address&& address) {
  AddressedRow row(rows.cols);
  int64_t wrong = 0;
  for (size_t rank = 0; rank < counts.size(); ++rank) {
    for (int64_t i = 0; i < counts[rank]; ++i) {
      wrong += wrong_elements(rows, displs[rank] + i, row.of(address(static_cast<int>(rank), i)));
    }
  }
  return wrong;
}

/// Fills rows of a device by `address(row)`.
template <typename Address>
void fill_addressed(BenchDevice& device, MatrixView to, Address&& address) {
  Buffer buffer(to.bytes());
  const MatrixView rows = buffer.matrix(to.dtype, to.rows, to.cols);
  AddressedRow row(rows.cols);
  for (int64_t i = 0; i < rows.rows; ++i) {
    convert_from_float(row.of(address(i)).data(), rows.cols, rows.dtype, rows.row(i));
  }
  device.upload(to.data, rows.data, rows.bytes());
}

}  // namespace

MessageRows MessageRows::of(const ExchangePlan& plan) {
  return {.send_counts = narrowed(plan.send_counts, "rows to one rank"),
          .send_displs = narrowed(plan.send_displs, "row displacement"),
          .recv_counts = narrowed(plan.recv_counts, "rows from one rank"),
          .recv_displs = narrowed(plan.recv_displs, "row displacement")};
}

MessageRows MessageRows::equal(int ranks, int64_t rows) {
  const std::vector<int> counts(ranks, narrow<int>(rows, "rows to one rank"));
  std::vector<int> displs;
  for (int rank = 0; rank <= ranks; ++rank) {
    displs.push_back(narrow<int>(rank * rows, "row displacement"));
  }
  return {counts, displs, counts, displs};
}

MovedBytes moved_by_plan(const ExchangeSize& size, size_t step) {
  const ExchangePlan& plan = size.plan;
  return step == 0 ? MovedBytes{plan.total_send() * size.row_bytes(),
                                rows_sent_off_rank(plan) * size.row_bytes()}
                   : MovedBytes{plan.total_recv() * size.row_bytes(),
                                rows_received_off_rank(plan) * size.row_bytes()};
}

RawExchange::RawExchange(std::string name, Rows rows, RowMessages& messages, BenchDevice& device)
    : name_(std::move(name)),
      rows_(rows),
      messages_(messages),
      device_(device),
      sent_(messages.make_memory()),
      received_(messages.make_memory()),
      returned_(messages.make_memory()) {}

std::span<const std::string_view> RawExchange::directions() const {
  if (rows_ == Rows::equal) return kEqual;
  return kBothWays;
}

void RawExchange::reserve(const ExchangeSize& size) {
  dtype_ = size.dtype;
  hidden_size_ = size.hidden_size;
  messages_.set_row(dtype_, hidden_size_);
  const int ranks = messages_.size();
  if (rows_ == Rows::equal) {
    there_ = MessageRows::equal(ranks, (size.most_sent + ranks - 1) / ranks);
    const int64_t bytes = there_.total_send() * size.row_bytes();
    moved_ = {MovedBytes{bytes, bytes - bytes / ranks}, MovedBytes{}};
  } else {
    there_ = MessageRows::of(size.plan);
    moved_ = {moved_by_plan(size, 0), moved_by_plan(size, 1)};
  }
  back_ = there_.reversed();
  sent_->reserve(there_.total_send() * size.row_bytes());
  received_->reserve(there_.total_recv() * size.row_bytes());
  if (directions().size() > 1) returned_->reserve(there_.total_send() * size.row_bytes());
  fill_addressed(device_, sent(), [this, peer = 0](int64_t row) mutable {
    while (row >= there_.send_displs[peer + 1]) ++peer;
    return message_address(messages_.rank(), peer, row - there_.send_displs[peer]);
  });
}

void RawExchange::run(size_t step) {
  if (step == 0) {
    messages_.exchange(there_, sent(), received());
  } else {
    messages_.exchange(back_, received(), returned());
  }
}

int64_t RawExchange::wrong_in(size_t step) {
  const int rank = messages_.rank();
  if (step == 0) {
    device_.poison(received());
    run(0);
    return wrong_in_messages(
        device_.download(received()), there_.recv_counts, there_.recv_displs,
        [rank](int source, int64_t i) { return message_address(source, rank, i); });
  }
  run(0);
  device_.poison(returned());
  run(1);
  return wrong_in_messages(device_.download(returned()), there_.send_counts, there_.send_displs,
                           [rank](int peer, int64_t i) { return message_address(rank, peer, i); });
}

void CopyRows::reserve(int64_t rows, DType dtype, int64_t hidden_size) {
  if (rows == rows_ && dtype == dtype_ && hidden_size == hidden_size_) return;
  rows_ = rows;
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  const int64_t bytes = rows * hidden_size * dtype_size(dtype);
  from_->reserve(bytes);
  to_->reserve(bytes);
  fill_addressed(device_, from(), [](int64_t row) { return static_cast<uint64_t>(row); });
}

int64_t CopyRows::wrong_after(const std::function<void()>& copy) {
  device_.poison(to());
  copy();
  const MatrixView copied = device_.download(to());
  AddressedRow row(hidden_size_);
  int64_t wrong = 0;
  for (int64_t i = 0; i < rows_; ++i) {
    wrong += wrong_elements(copied, i, row.of(static_cast<uint64_t>(i)));
  }
  return wrong;
}

std::span<const std::string_view> LocalCopy::directions() const {
  return kCopy;
}

void LocalCopy::reserve(const ExchangeSize& size) {
  rows_.reserve(count_(size.plan), size.dtype, size.hidden_size);
}

LocalCopy plain_copy(CopyRows& rows, int threads) {
  const auto copy = [threads](std::byte* to, const std::byte* from, int64_t bytes) {
    parallel_ranges(bytes, threads, kBytesPerThread, [to, from](int64_t begin, int64_t end) {
      std::memcpy(to + begin, from + begin, end - begin);
    });
  };
  return {"memcpy", copy, &ExchangePlan::total_send, rows};
}

LocalCopy streaming_copy(CopyRows& rows, int threads) {
  const auto copy = [threads](std::byte* to, const std::byte* from, int64_t bytes) {
    parallel_ranges(bytes, threads, kBytesPerThread, [to, from](int64_t begin, int64_t end) {
      stream_copy(to + begin, from + begin, end - begin);
      stream_fence();
    });
  };
  return {"non-temporal", copy, &ExchangePlan::total_send, rows};
}

}  // namespace hashep::bench
