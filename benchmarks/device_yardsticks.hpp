// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "benchmarks/device_queue.hpp"
#include "benchmarks/nccl_rows.hpp"
#include "comm/nccl_buffer.hpp"
#include "core/cuda/device_buffer.hpp"

namespace hashep::bench {

/// The yardsticks that know no experts: rows that lie in the order of messages already, moved there
/// and back by one group of messages or by NCCL's all-to-all.
class RawDeviceExchange {
 public:
  /// Both must outlive it.
  RawDeviceExchange(NcclCommunicator& nccl, DeviceQueue& queue)
      : nccl_(nccl), queue_(queue), sent_(nccl), received_(nccl), returned_(nccl) {}

  /// Makes room, and rows to send. Waits. Local.
  void reserve(MessageRows rows, DType dtype, int64_t hidden_size);

  /// In stream order. Collective.
  void forward();
  void backward();
  void all_to_all();  // of MessageRows::equal

  /// Elements that are not in their place after the call of that name. Each runs it, and waits.
  /// Collective.
  int64_t wrong_in_forward();
  int64_t wrong_in_backward();
  int64_t wrong_in_all_to_all();

  int64_t bytes_sent() const { return sent().bytes(); }

 private:
  MatrixView sent() const { return sent_.matrix(dtype_, rows_.total_send(), hidden_size_); }
  MatrixView received() const { return received_.matrix(dtype_, rows_.total_recv(), hidden_size_); }
  MatrixView returned() const { return returned_.matrix(dtype_, rows_.total_send(), hidden_size_); }
  int64_t wrong_received();

  NcclCommunicator& nccl_;
  DeviceQueue& queue_;
  MessageRows rows_;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  NcclBuffer sent_;
  NcclBuffer received_;
  NcclBuffer returned_;
};

/// A copy of rows within the memory of each GPU.
class DeviceCopy {
 public:
  /// `queue` must outlive it.
  explicit DeviceCopy(DeviceQueue& queue) : queue_(queue) {}

  /// Makes room, and rows to copy. Waits.
  void reserve(int64_t rows, DType dtype, int64_t hidden_size);
  void run();  // in stream order
  /// Elements that are not in their place. Runs it, and waits.
  int64_t wrong();
  int64_t bytes() const { return rows(from_).bytes(); }

 private:
  MatrixView rows(const DeviceBuffer& buffer) const {
    return buffer.matrix(dtype_, num_rows_, hidden_size_);
  }

  DeviceQueue& queue_;
  int64_t num_rows_ = 0;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  DeviceBuffer from_;
  DeviceBuffer to_;
};

}  // namespace hashep::bench
