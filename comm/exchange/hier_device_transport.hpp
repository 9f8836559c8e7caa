// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/exchange/peer_rows.hpp"
#include "comm/exchange/peer_signals.hpp"
#include "comm/exchange/transport.hpp"
#include "comm/nccl_buffer.hpp"

namespace hashep {

/// Transport `hier` between GPUs, for ranks of several nodes: inside a node as `ipc`, between nodes
/// a row goes once to each node that needs it (NodePlan), by NCCL, to the rank of equal place
/// there. That one's GPU puts it into all its final places on the node, and later sends the results
/// back. In three parts: rows of this node; rows of others; nothing, while results for others
/// return. Experts compute the first half of the tiles without far rows in the first part, the
/// tiles with far rows in the second, the rest in the third. Where to put a row travels with it: 12
/// bytes a choice, and 12 a result.
class HierDeviceTransport final : public Transport {
 public:
  /// Collective. `topology` and `watch` must outlive the transport.
  HierDeviceTransport(const Communicator& comm, const Topology& topology, Watch& watch);

  std::string_view name() const override { return "hier"; }
  bool reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
               const BeforeFree& before_free) override;
  MatrixView expert_rows(const ExchangePlan& plan) override { return rows_.own(plan); }
  std::unique_ptr<Exchange> make_exchange() override;
  bool overlaps() const override { return true; }
  void wait_for(DeviceStream stream) override;
  void check() override;
  void begin_abort() noexcept override;
  bool end_abort() noexcept override { return nccl_.end_abort(); }
  int64_t buffer_bytes() const override {
    return rows_.own_bytes() + outbox_.capacity() + inbox_.capacity() + returned_.capacity() +
           targets_.capacity();
  }
  int64_t shared_bytes() const override { return rows_.others_bytes(); }

 private:
  class LayerExchange;

  MatrixView rows_in(const NcclBuffer& buffer, int64_t rows) const {
    return buffer.matrix(dtype_, rows, hidden_size_);
  }

  const Topology& topology_;
  Watch& watch_;
  NcclCommunicator nccl_;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  PeerRows rows_;
  PeerSignals signals_;
  NcclBuffer outbox_;     // rows for other nodes, in the order of plan.across.outgoing
  NcclBuffer inbox_;      // rows of other nodes, in the order of incoming; then their results
  DeviceBuffer targets_;  // FarTargets of incoming rows, which come from plans: not registered
  NcclBuffer returned_;   // results from other nodes
};

}  // namespace hashep
