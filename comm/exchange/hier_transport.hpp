// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "comm/exchange/far_receiver.hpp"
#include "comm/exchange/far_sender.hpp"
#include "comm/exchange/node_flags.hpp"
#include "comm/exchange/node_rows.hpp"
#include "comm/exchange/transport.hpp"
#include "comm/exchange/value_messages.hpp"
#include "comm/topology.hpp"

namespace hashep {

/// Transport `hier`: shared memory inside a node as in `shm`, messages between nodes, where a row
/// goes to a node once, however many of its experts are there; ranks of equal local index talk to
/// each other. Rows for other nodes leave first; a rank's rows for its own node are written, and
/// experts may compute them, while those travel; results return, and tokens whose results are there
/// are combined, while others travel. In three parts, as on GPUs: rows of this node; rows of
/// others; nothing, while results for others return. On the wire: dispatch (token, node) pairs *
/// row bytes and 2 bytes an assignment, combine assignments * row bytes; with plans that reduce
/// (NodePlan::reduces), combine (token, node) pairs * row bytes and 4 bytes an assignment. A
/// reduced sum is made in fp32 and rounded to the rows' dtype once more than else: not the same
/// bits, within a relative error of 1e-5 (fp32) or 1e-2 (bf16) of a token's row.
class HierTransport final : public Transport {
 public:
  /// Collective (duplicates `comm`). `topology` and `watch` must outlive the transport. Plans must
  /// have been completed for topology.nodes.
  HierTransport(const Communicator& comm, const Topology& topology, Watch& watch, int threads);

  std::string_view name() const override { return "hier"; }
  bool reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
               const BeforeFree& before_free) override;
  MatrixView expert_rows(const ExchangePlan& plan) override { return rows_.own(plan); }
  std::unique_ptr<Exchange> make_exchange() override;
  int64_t buffer_bytes() const override {
    return rows_.own_bytes() + sender_.buffer_bytes() + receiver_.buffer_bytes();
  }
  int64_t shared_bytes() const override { return rows_.others_bytes(); }

 private:
  class LayerExchange;

  /// Calls `step` until it says that all is done; the deadline is for progress, of any message.
  template <typename Step>
  void work_until(const Step& step);

  Communicator comm_;
  const Topology& topology_;
  Watch& watch_;
  int threads_;
  NodeFlags flags_;
  NodeRows rows_;
  FarSender sender_;
  FarReceiver receiver_;
  ValueMessages values_;
  std::optional<RowDatatype> row_type_;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  int64_t exchange_ = 0;  // number of the exchange that is under way
};

}  // namespace hashep
