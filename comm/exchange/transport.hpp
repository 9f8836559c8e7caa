// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "comm/exchange/exchange.hpp"
#include "core/before_free.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

/// How rows of hidden states move between ranks, and the buffers that they land in: the one coarse
/// virtual interface of comm/, for CPUs and GPUs. It speaks dispatch and combine (Exchange) rather
/// than all-to-all, so that an implementation may fuse permute and exchange. A transport works for
/// ranks on CPUs, or for ranks with a GPU each, which is then the calling thread's current one.
/// Waits are bounded by a deadline. Not thread-safe.
class Transport {
 public:
  virtual ~Transport() = default;

  virtual std::string_view name() const = 0;

  /// Makes room for each of these plans with rows of `hidden_size` elements, so that exchanges
  /// allocate nothing: true where addresses have changed, so that exchanges that were begun are
  /// void. Ahead of a step; collective. Calls `before_free` before memory of a GPU goes: it drops
  /// graphs and waits for what may use it (`wait_for`). On CPUs it may be empty.
  virtual bool reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
                       const BeforeFree& before_free) = 0;

  /// This rank's rows in expert-major order, in the device's memory: where dispatch lands, to be
  /// overwritten in place by the experts. [plan.total_recv(), hidden_size]. Local.
  virtual MatrixView expert_rows(const ExchangePlan& plan) = 0;

  /// One layer's exchanges; this transport must outlive it. Local.
  virtual std::unique_ptr<Exchange> make_exchange() = 0;

  /// Bytes of row buffers that this rank holds now. Local.
  virtual int64_t buffer_bytes() const = 0;
  /// Bytes of other ranks' row buffers that this rank writes and reads in place: on a CPU they
  /// count in its resident size too, though each stands in memory once. Local.
  virtual int64_t shared_bytes() const { return 0; }

  // Of GPUs, where work is asked for ahead.

  /// Whether dispatch and combine gain from a stream of their own beside that of the experts.
  virtual bool overlaps() const { return false; }
  /// Whether a step with its exchanges may be captured as a graph.
  virtual bool can_capture() const { return true; }
  /// Whether an exchange reads all that follows from counts in GPU memory, so that a captured one
  /// serves any plan of as many rows and parts. Messages of NCCL do not: their sizes are captured.
  virtual bool reads_counts_on_gpu() const { return false; }

  /// Waits until `stream` has done what it was asked for, under a deadline where that takes other
  /// ranks. Local.
  virtual void wait_for(DeviceStream stream) { static_cast<void>(stream); }

  /// Throws RunError where an exchange under way has failed. Never waits. Local.
  virtual void check() {}
  /// What is under way ends, whatever becomes of the rows. For a rank that gives up. Graphs of
  /// exchanges are to be dropped next, then `end_abort` waits, some seconds at most, until nothing
  /// but the GPU touches rows and plans any more: false where that is not so, and they must stay.
  virtual void begin_abort() noexcept {}
  virtual bool end_abort() noexcept { return true; }
};

}  // namespace hashep
