// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/array_layout.hpp"
#include "core/cuda/device_buffer.hpp"
#include "core/device_stream.hpp"
#include "hashep/error.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

/// One layer's exchange of one batch between GPUs: what a plan says, as kernels and messages need
/// it. Described ahead of the step, then enqueued once or more. An exchange may come in parts, so
/// that experts compute rows of one while those of the next are on their way:
///   dispatch(0), dispatch(1), ... on one stream, each part's rows computed once it has landed,
///   give_back(0), give_back(1), ... on that stream again, then combine.
/// In stream order; inside a step nothing is allocated, and nothing waits on the host.
///
/// Meetings, which are all signals to other ranks, waits for them and groups of NCCL's messages,
/// come one after the other by streams and events, and in one order on all ranks: any two of them,
/// of later layers and steps too. So what a rank waits for is what others do before they wait for
/// anything later, and no rank holds up itself, whatever work the driver puts behind a kernel that
/// waits: streams share hardware queues, copies have one, branches of a graph go to any, and a
/// launch may return only when its kernel is done (under a sanitizer, or where it has to be loaded
/// first). Without that order each of these may stop all ranks.
class DeviceExchange {
 public:
  virtual ~DeviceExchange() = default;

  /// Takes a plan, which must stay until the last `lay_out`. Host work, ahead of the step;
  /// addresses of rows are those of the transport's last `reserve`.
  virtual void begin(const ExchangePlan& plan) = 0;
  /// Kernels are to cover this many rows of x and y, at least the plan's tokens; those behind them
  /// are taken for padding: they go nowhere, and their y is zero. Between `begin` and `lay_out`,
  /// and only of transports with reads_counts_on_gpu.
  virtual void pad_to(int64_t rows);
  /// Adds the arrays that kernels read. Called twice for each plan (see ArrayLayout).
  virtual void lay_out(ArrayLayout& arrays) = 0;

  /// The plan's experts in GPU memory. [rows * top_k]; -1: padding
  virtual std::span<const int32_t> experts() const = 0;

  /// Parts that dispatch and give_back come in, at most kMaxParts. Alike on all ranks.
  static constexpr int kMaxParts = 3;
  virtual int num_parts() const { return 1; }
  /// The part that lands these expert-major rows, or the last of them.
  virtual int part_of(Range) const { return 0; }
  /// x: [rows, hidden_size] in GPU memory. When the stream has come past it, the part's rows
  /// stand in the transport's expert rows.
  virtual void dispatch(int part, ConstMatrixView x, DeviceStream stream) = 0;
  /// The part's expert rows hold outputs now, and may return.
  virtual void give_back(int part, DeviceStream stream) = 0;
  /// Whether give_back does anything.
  virtual bool gives_back() const { return true; }
  /// y.row(i) = sum over j of weights[i, j] * expert output + shared.row(i) (see combine_rows), all
  /// in GPU memory. weights: [rows * top_k] or empty; shared: [rows, hidden_size] or empty. All
  /// parts were given back.
  virtual void combine(std::span<const float> weights, ConstMatrixView shared, MatrixView y,
                       DeviceStream stream) = 0;
};

inline void DeviceExchange::pad_to(int64_t) {
  throw RunError("this transport's exchanges cover a plan's tokens and no more");
}

/// How rows of hidden states move between GPUs, one a rank: the counterpart of Transport for work
/// that is asked for ahead. Not thread-safe; the GPU is the calling thread's current one.
class DeviceTransport {
 public:
  virtual ~DeviceTransport() = default;

  virtual std::string_view name() const = 0;

  /// Makes room for these plans with rows of `hidden_size` elements: true where addresses have
  /// changed, so that exchanges that were described are void. Ahead of a step; collective. Calls
  /// `before_free` before memory goes: it drops graphs and waits for what may use it (`wait_for`).
  virtual bool reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
                       const BeforeFree& before_free) = 0;

  /// This rank's rows in expert-major order, in GPU memory. [plan.total_recv(), hidden_size]
  virtual MatrixView expert_rows(const ExchangePlan& plan) const = 0;

  /// One layer's exchanges; this transport must outlive it.
  virtual std::unique_ptr<DeviceExchange> make_exchange() = 0;

  /// Whether dispatch and combine gain from a stream of their own beside that of the experts.
  virtual bool overlaps() const { return false; }
  /// Whether a step with its exchanges may be captured as a graph.
  virtual bool can_capture() const { return true; }
  /// Whether an exchange reads all that follows from counts in GPU memory, so that a captured one
  /// serves any plan of as many rows and parts. Messages of NCCL do not: their sizes are captured.
  virtual bool reads_counts_on_gpu() const { return false; }

  /// Waits until `stream` has done what it was asked for, under a deadline where that takes other
  /// ranks. Local.
  virtual void wait_for(DeviceStream) {}

  /// Throws RunError where an exchange under way has failed. Never waits. Local.
  virtual void check() {}
  /// What is under way ends, whatever becomes of the rows. For a rank that gives up. Graphs of
  /// exchanges are to be dropped next, then `end_abort` waits, some seconds at most, until nothing
  /// but the GPU touches rows and plans any more: false where that is not so, and they must stay.
  virtual void begin_abort() noexcept {}
  virtual bool end_abort() noexcept { return true; }

  /// Bytes of row buffers that this rank holds, and of other ranks' that it reaches.
  virtual int64_t buffer_bytes() const = 0;
  virtual int64_t shared_bytes() const { return 0; }
};

}  // namespace hashep
