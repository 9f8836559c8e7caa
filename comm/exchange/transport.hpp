// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "hashep/exchange_plan.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

/// How rows of hidden states move between ranks: the one coarse virtual interface of comm/. It
/// speaks dispatch and combine rather than all-to-all, so that an implementation may fuse permute
/// and exchange. All calls but `name` and `buffer_bytes` are collective over the transport's ranks,
/// in the same order everywhere. Waits are bounded by a deadline.
class Transport {
 public:
  virtual ~Transport() = default;

  virtual std::string_view name() const = 0;

  /// Makes room for each of these plans with rows of `hidden_size` elements, so that dispatch and
  /// combine allocate nothing. Ahead of the step.
  virtual void reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size) = 0;

  /// x: [plan.tokens, hidden_size] on this rank. Returns the rows of this rank's experts in
  /// expert-major order, [plan.total_recv(), hidden_size], in memory of the transport, writable in
  /// place until the next combine.
  virtual MatrixView dispatch(const ExchangePlan& plan, ConstMatrixView x) = 0;

  /// Returns the rows that dispatch handed out, now holding expert outputs, to their tokens:
  /// y.row(i) = sum over j of weights[i, j] * expert output + shared.row(i) (see combine_rows).
  /// weights: [tokens, top_k] or empty for 1/top_k each; shared: [tokens, hidden_size] or empty.
  virtual void combine(const ExchangePlan& plan, std::span<const float> weights,
                       ConstMatrixView shared, MatrixView y) = 0;

  // Overlap. A transport that brings rows of other nodes may be driven in steps instead, so that
  // experts compute tiles while others are on their way:
  //   begin_dispatch -> tiles of near rows, poll_dispatch between them until it is true (or
  //   finish_dispatch) -> tiles of the rest -> begin_combine -> tiles left over, poll_combine
  //   between them -> combine.
  // Near rows are those from ranks of this node (all but NodePlan::far_rows).

  /// Whether that gains anything with this plan.
  virtual bool overlaps(const ExchangePlan& plan) const;
  /// Like dispatch, but returns when the near rows have landed.
  virtual MatrixView begin_dispatch(const ExchangePlan& plan, ConstMatrixView x);
  /// Moves messages on, without waiting. True once all rows have landed.
  virtual bool poll_dispatch(const ExchangePlan& plan);
  /// Waits for that.
  virtual void finish_dispatch(const ExchangePlan& plan);
  /// The far rows hold expert outputs, which may return. weights: as for combine, and to stay until
  /// then.
  virtual void begin_combine(const ExchangePlan& plan, std::span<const float> weights);
  /// Moves messages on, without waiting.
  virtual void poll_combine(const ExchangePlan& plan);

  /// Bytes of row buffers this rank holds now.
  virtual int64_t buffer_bytes() const = 0;
  /// Bytes of other ranks' row buffers that this rank writes and reads in place: they count in its
  /// resident size too, though each stands in memory once.
  virtual int64_t shared_bytes() const { return 0; }
};

}  // namespace hashep
