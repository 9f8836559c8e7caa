// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "comm/exchange/peer_rows.hpp"
#include "comm/exchange/peer_signals.hpp"
#include "comm/exchange/transport.hpp"

namespace hashep {

/// Transport `ipc`, for ranks of one node: no messages. Dispatch reads a rank's rows in order and
/// writes each once, straight to its final place in its owner's GPU memory; combine reads the
/// outputs where the experts left them and writes each token once: transport `shm` for GPUs. Flags
/// in GPU memory keep the order, so that a step is asked for as a whole. Buffers: the rows
/// received, and nothing else.
class IpcTransport final : public Transport {
 public:
  /// Collective over the ranks of `topology`, which are all of one node. `parts`: of an exchange,
  /// 1 or 2, where not by rule (choose_parts). `topology` and `watch` must outlive the transport.
  IpcTransport(const Topology& topology, int ep_rank, Watch& watch, std::optional<int> parts);

  std::string_view name() const override { return "ipc"; }
  bool reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
               const BeforeFree& before_free) override;
  MatrixView expert_rows(const ExchangePlan& plan) override { return rows_.own(plan); }
  std::unique_ptr<Exchange> make_exchange() override;
  bool overlaps() const override { return true; }
  bool reads_counts_on_gpu() const override { return true; }
  void wait_for(DeviceStream stream) override;
  void check() override { signals_.check(); }
  void begin_abort() noexcept override { signals_.stop(); }
  int64_t buffer_bytes() const override { return rows_.own_bytes(); }
  int64_t shared_bytes() const override { return rows_.others_bytes(); }

 private:
  class LayerExchange;

  Watch& watch_;
  int64_t row_bytes_ = 0;
  std::optional<int> parts_;
  PeerRows rows_;
  PeerSignals signals_;
};

}  // namespace hashep
