// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/device_yardsticks.hpp"

#include <utility>

#include "benchmarks/exchange_check.hpp"
#include "hashep/buffer.hpp"

namespace hashep::bench {
namespace {

/// Elements of rows in host memory that are not those of their messages. `address(rank, i)`: what
/// row i of the message from or to a rank must be.
template <typename Address>
int64_t wrong_in_messages(ConstMatrixView rows, const std::vector<int64_t>& counts,
                          const std::vector<int64_t>& displs, Address&& address) {
  AddressedRow row(rows.cols);
  int64_t wrong = 0;
  for (size_t rank = 0; rank < counts.size(); ++rank) {
    for (int64_t i = 0; i < counts[rank]; ++i) {
      wrong += wrong_elements(rows, displs[rank] + i, row.of(address(static_cast<int>(rank), i)));
    }
  }
  return wrong;
}

/// Host memory's rows of the same shape, filled by `address(row)`.
template <typename Address>
Buffer addressed_rows(MatrixView shape, Address&& address) {
  Buffer buffer;
  buffer.reserve(shape.bytes());
  const MatrixView rows = buffer.matrix(shape.dtype, shape.rows, shape.cols);
  AddressedRow row(shape.cols);
  for (int64_t i = 0; i < rows.rows; ++i) {
    convert_from_float(row.of(address(i)).data(), rows.cols, rows.dtype, rows.row(i));
  }
  return buffer;
}

}  // namespace

void RawDeviceExchange::reserve(MessageRows rows, DType dtype, int64_t hidden_size) {
  rows_ = std::move(rows);
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  const int64_t row_bytes = hidden_size * dtype_size(dtype);
  sent_.reserve(rows_.total_send() * row_bytes);
  returned_.reserve(rows_.total_send() * row_bytes);
  received_.reserve(rows_.total_recv() * row_bytes);
  auto address = [this, peer = 0](int64_t row) mutable {
    while (row >= rows_.send_displs[static_cast<size_t>(peer) + 1]) ++peer;
    return message_address(nccl_.rank(), peer, row - rows_.send_displs[static_cast<size_t>(peer)]);
  };
  const Buffer host = addressed_rows(sent(), address);
  queue_.upload(sent().data, host.data(), sent().bytes());
}

void RawDeviceExchange::forward() {
  send_rows(nccl_, rows_, sent(), received(), queue_.stream());
}

void RawDeviceExchange::backward() {
  return_rows(nccl_, rows_, received(), returned(), queue_.stream());
}

void RawDeviceExchange::all_to_all() {
  nccl_all_to_all(nccl_, sent().data, received().data,
                  rows_.send_counts.front() * sent().row_bytes(), queue_.stream());
}

int64_t RawDeviceExchange::wrong_received() {
  return wrong_in_messages(
      queue_.download(received()), rows_.recv_counts, rows_.recv_displs,
      [this](int source, int64_t i) { return message_address(source, nccl_.rank(), i); });
}

int64_t RawDeviceExchange::wrong_in_forward() {
  poison(received(), queue_.stream());
  forward();
  return wrong_received();
}

int64_t RawDeviceExchange::wrong_in_backward() {
  forward();
  poison(returned(), queue_.stream());
  backward();
  return wrong_in_messages(
      queue_.download(returned()), rows_.send_counts, rows_.send_displs,
      [this](int peer, int64_t i) { return message_address(nccl_.rank(), peer, i); });
}

int64_t RawDeviceExchange::wrong_in_all_to_all() {
  poison(received(), queue_.stream());
  all_to_all();
  return wrong_received();
}

void DeviceCopy::reserve(int64_t num_rows, DType dtype, int64_t hidden_size) {
  num_rows_ = num_rows;
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  const int64_t bytes = num_rows * hidden_size * dtype_size(dtype);
  from_.reserve(bytes);
  to_.reserve(bytes);
  const Buffer host =
      addressed_rows(rows(from_), [](int64_t row) { return static_cast<uint64_t>(row); });
  queue_.upload(from_.data(), host.data(), bytes);
}

void DeviceCopy::run() {
  copy_async(to_.data(), from_.data(), bytes(), queue_.stream());
}

int64_t DeviceCopy::wrong() {
  poison(rows(to_), queue_.stream());
  run();
  const MatrixView copied = queue_.download(rows(to_));
  AddressedRow row(hidden_size_);
  int64_t wrong = 0;
  for (int64_t i = 0; i < num_rows_; ++i) {
    wrong += wrong_elements(copied, i, row.of(static_cast<uint64_t>(i)));
  }
  return wrong;
}

}  // namespace hashep::bench
