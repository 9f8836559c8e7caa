// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "comm/exchange/exchange_stage.hpp"
#include "comm/exchange/peer_memory.hpp"
#include "comm/topology.hpp"
#include "kernels/rows/peer_flags.hpp"

namespace hashep {

/// How far the GPUs of a node's ranks are with an exchange, told in stream order by flags that
/// stand in each other's memory: NodeFlags for GPUs. A wait that takes longer than the Watch's
/// deadline ends, and with it all later ones; `check` then tells who was waited for.
class PeerSignals {
 public:
  /// Collective over the node. `topology` and `watch` must outlive this.
  PeerSignals(const Topology& topology, int ep_rank, Watch& watch);
  PeerSignals(const PeerSignals&) = delete;
  PeerSignals& operator=(const PeerSignals&) = delete;

  /// A new exchange; waits until all ranks have fetched what they need of the one before.
  void begin(DeviceStream stream) const;
  /// States that this rank has come to `stage`; what the stream wrote before is seen by who waits.
  void set(ExchangeStage stage, DeviceStream stream) const;
  /// The same, and waits until all ranks of the node have.
  void meet(ExchangeStage stage, DeviceStream stream) const;

  /// Throws RunError where a wait has taken longer than it may. Never waits.
  void check() const;
  /// Waits under way end, and all later ones.
  void stop() noexcept;

 private:
  PeerWaitStatus& status() const { return *reinterpret_cast<PeerWaitStatus*>(status_.data()); }

  const Topology& topology_;
  int32_t node_;
  Watch& watch_;
  PinnedBuffer status_;
  PeerMemory memory_;  // flags, number of the exchange, addresses of all ranks' flags
  PeerFlags flags_;
};

}  // namespace hashep
