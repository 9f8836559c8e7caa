// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/peer_signals.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>
#include <string>

#include "core/cuda/stream.hpp"

namespace hashep {
PeerSignals::PeerSignals(const Topology& topology, int ep_rank, Watch& watch)
    : topology_(topology),
      node_(topology.nodes.node_of(ep_rank)),
      watch_(watch),
      status_(sizeof(PeerWaitStatus)),
      memory_(topology.node, watch) {
  const int peers = topology.node.size();
  const int64_t flag_words = int64_t{kNumExchangeStages} * peers;
  const int64_t words = flag_words + 1 + peers;  // one word: the number of the exchange
  memory_.resize(words * static_cast<int64_t>(sizeof(int64_t)));
  new (status_.data()) PeerWaitStatus();

  PinnedBuffer staging(words * static_cast<int64_t>(sizeof(int64_t)));
  auto* const first = reinterpret_cast<int64_t*>(staging.data());
  std::fill_n(first, flag_words + 1, int64_t{0});
  for (int peer = 0; peer < peers; ++peer) {
    first[flag_words + 1 + peer] = reinterpret_cast<int64_t>(memory_.of(peer));
  }
  const CudaStream stream;
  copy_async(memory_.own().data(), staging.data(), words * static_cast<int64_t>(sizeof(int64_t)),
             stream);
  stream.synchronize();
  watch.barrier(topology.node);  // nobody sets a flag that is cleared afterwards

  auto* const own = memory_.own().as<int64_t>();
  flags_ = {.num_peers = peers,
            .rank = topology.node.rank(),
            .num_marks = kNumExchangeStages,
            .own = own,
            .peers = reinterpret_cast<int64_t* const*>(own + flag_words + 1),
            .exchange = own + flag_words,
            .status = &status(),
            .deadline_ns = static_cast<int64_t>(1e9 * watch.deadline())};
}

void PeerSignals::begin(DeviceStream stream) const {
  step_flags(flags_, {.begins = true, .wait = static_cast<int>(ExchangeStage::fetched), .lag = 1},
             stream);
}

void PeerSignals::set(ExchangeStage stage, DeviceStream stream) const {
  step_flags(flags_, {.signal = static_cast<int>(stage)}, stream);
}

void PeerSignals::meet(ExchangeStage stage, DeviceStream stream) const {
  step_flags(flags_, {.signal = static_cast<int>(stage), .wait = static_cast<int>(stage)}, stream);
}

void PeerSignals::check() const {
  // The GPU writes the other words before this one.
  if (std::atomic_ref(status().gave_up).load(std::memory_order_acquire) == 0) return;
  const PeerWaitStatus& found = status();
  const auto ranks = topology_.nodes.ranks_of(node_);
  throw RunError("rank " + std::to_string(watch_.rank()) + " in " + to_string(watch_.position()) +
                 ": no progress for " + std::to_string(std::llround(watch_.deadline())) +
                 " s, waiting for rank " + std::to_string(ranks[found.peer]) +
                 what_is_missing(static_cast<ExchangeStage>(found.mark)) + " (exchange " +
                 std::to_string(found.exchange) + ")");
}

void PeerSignals::stop() noexcept {
  std::atomic_ref(status().stop).store(1, std::memory_order_release);
}

}  // namespace hashep
