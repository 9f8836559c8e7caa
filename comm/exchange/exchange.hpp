// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "core/array_layout.hpp"
#include "core/device_stream.hpp"
#include "hashep/error.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

/// One layer's exchange of rows between ranks: what a plan says, as copies, kernels and messages
/// need it. Described ahead of the step, then run once or more. It may come in parts, so that
/// experts compute rows of one while those of the next travel:
///
///     begin(plan)                                        ahead of the step
///     dispatch(0), dispatch(1), ...                      each part's rows are computed once there
///     give_back(0), give_back(1), ...                    parts in order, each after its dispatch
///     combine
///
/// On a GPU all is asked for in the order of a stream, and nothing waits on the host. On a CPU rank
/// (the stream is then null) a call is done when it returns: its caller brings in a part when it
/// needs the rows, and calls `progress` between pieces of work, so that messages move on. Inside a
/// step nothing is allocated. Collective over the transport's ranks but where it says local; of
/// exchanges of one transport one is run at a time, in one order on all ranks.
///
/// Meetings on GPUs, which are all signals to other ranks, waits for them and groups of NCCL's
/// messages, come one after the other by streams and events, and in one order on all ranks: any two
/// of them, of later layers and steps too. So what a rank waits for is what others do before they
/// wait for anything later, and no rank holds up itself, whatever work the driver puts behind a
/// kernel that waits: streams share hardware queues, copies have one, branches of a graph go to
/// any, and a launch may return only when its kernel is done (under a sanitizer, or where it has to
/// be loaded first). Without that order each of these may stop all ranks.
class Exchange {
 public:
  virtual ~Exchange() = default;

  /// Takes a plan, which must stay until the exchange is done with (on a GPU: until the last
  /// `lay_out`). Ahead of the step, after the transport's `reserve`, whose next change of addresses
  /// makes this void. Local.
  virtual void begin(const ExchangePlan& plan) = 0;
  /// Kernels are to cover this many rows of x and y, at least the plan's tokens; those behind them
  /// are taken for padding: they go nowhere, and their y is zero. Between `begin` and `lay_out`,
  /// and only of transports with reads_counts_on_gpu. Local.
  virtual void pad_to(int64_t rows);
  /// Adds the arrays that kernels on a GPU read; on a CPU there are none. Called twice for each
  /// plan (see ArrayLayout). Local.
  virtual void lay_out(ArrayLayout& arrays) { static_cast<void>(arrays); }

  /// The plan's experts in the device's memory. [rows * top_k]; -1: padding
  virtual std::span<const int32_t> experts() const = 0;

  /// Parts that dispatch and give_back come in, at most kMaxParts. Alike on all ranks.
  static constexpr int kMaxParts = 3;
  virtual int num_parts() const { return 1; }
  /// The part that lands these expert-major rows, or the last of them.
  virtual int part_of(Range) const { return 0; }
  /// Whether dispatch of this part does anything. Where not, it has no rows of its own.
  virtual bool lands(int part) const { return part >= 0; }
  /// Whether give_back of this part does anything. Where not, its rows may as well be computed
  /// before the last part is given back.
  virtual bool gives_back(int part) const { return part >= 0; }

  /// x: [rows, hidden_size] in the device's memory, the same for all parts. Afterwards (when the
  /// stream has come past it) the part's rows stand in the transport's expert rows.
  virtual void dispatch(int part, ConstMatrixView x, DeviceStream stream) = 0;
  /// On a CPU: moves messages on, without waiting. True where dispatch of the next part would not
  /// wait. Local.
  virtual bool progress() { return true; }
  /// The part's expert rows hold outputs now, and may return. weights: as for combine, and to stay
  /// until then.
  virtual void give_back(int part, std::span<const float> weights, DeviceStream stream) = 0;
  /// y.row(i) = sum over j of weights[i, j] * expert output + shared.row(i) (see combine_rows), all
  /// in the device's memory. weights: [rows * top_k] or empty, which is 1/top_k each; shared:
  /// [rows, hidden_size] or empty. All parts were given back.
  virtual void combine(std::span<const float> weights, ConstMatrixView shared, MatrixView y,
                       DeviceStream stream) = 0;

  /// A float for each assignment goes where its row goes: rows[r] is that of the assignment whose
  /// row is the owner's expert-major row r. values: [tokens * top_k], where those of padding mean
  /// nothing; rows: [plan.total_recv()]. In host memory, of transports on CPUs alone; while no rows
  /// are under way.
  virtual void send_values(std::span<const float> values, std::span<float> rows);
  /// And comes back, 0 to padding.
  virtual void return_values(std::span<const float> rows, std::span<float> values);

  /// All parts at once: dispatch, and give_back with combine, for who has nothing to do meanwhile.
  void dispatch_all(ConstMatrixView x, DeviceStream stream = {}) {
    for (int part = 0; part < num_parts(); ++part) dispatch(part, x, stream);
  }
  void return_all(std::span<const float> weights, ConstMatrixView shared, MatrixView y,
                  DeviceStream stream = {}) {
    for (int part = 0; part < num_parts(); ++part) give_back(part, weights, stream);
    combine(weights, shared, y, stream);
  }
};

inline void Exchange::send_values(std::span<const float>, std::span<float>) {
  throw RunError("this transport moves no values beside rows");
}

inline void Exchange::return_values(std::span<const float>, std::span<float>) {
  throw RunError("this transport moves no values beside rows");
}

inline void Exchange::pad_to(int64_t) {
  throw RunError("this transport's exchanges cover a plan's tokens and no more");
}

}  // namespace hashep
