// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/exchange/exchange_stage.hpp"
#include "comm/shared_window.hpp"
#include "comm/watch.hpp"

namespace hashep {

/// Flags in shared memory, a cache line for each rank and stage, each written by its rank alone:
/// the number of the exchange up to which it has come to the stage. Waits are bounded by the
/// Watch's deadline and yield the core, at once where the ranks of the node outnumber its cores.
class NodeFlags {
 public:
  /// Collective over `node`. `ranks`: the ranks of the node as errors name them. [node.size()]
  NodeFlags(const Communicator& node, std::span<const int32_t> ranks, Watch& watch);

  /// States that this rank has come to `stage` up to exchange `number`; what it wrote before is
  /// then seen by ranks that wait for it.
  void set(ExchangeStage stage, int64_t number) {
    slot(node_rank_, stage).store(number, std::memory_order_release);
  }

  /// Waits until all ranks of the node have come to `stage` up to exchange `number`. `work` is
  /// called between polls, for what else must go on.
  template <typename Work>
  void wait(ExchangeStage stage, int64_t number, Work&& work) {
    size_t next = 0;
    const auto all_there = [&] {
      work();
      next = first_missing(stage, number, next);
      return next == ranks_.size();
    };
    watch_.wait_until(spins_, all_there, [&] { return missing(stage, number); });
  }
  void wait(ExchangeStage stage, int64_t number) {
    wait(stage, number, [] {});
  }

  /// Whether they have now.
  bool is_reached(ExchangeStage stage, int64_t number) const {
    return first_missing(stage, number, 0) == ranks_.size();
  }

  /// The first rank that has not, for errors: ", waiting for rank 3's rows".
  std::string missing(ExchangeStage stage, int64_t number) const;

 private:
  struct alignas(64) Slot {
    std::atomic<int64_t> number;
  };
  static_assert(std::atomic<int64_t>::is_always_lock_free);

  std::atomic<int64_t>& slot(int node_rank, ExchangeStage stage) const {
    auto* slots = reinterpret_cast<Slot*>(window_.data());
    return slots[node_rank * kNumExchangeStages + static_cast<int>(stage)].number;
  }
  /// The first rank of the node, from `next` on, that is not there; else their number.
  size_t first_missing(ExchangeStage stage, int64_t number, size_t next) const;

  SharedWindow window_;
  std::vector<int32_t> ranks_;
  Watch& watch_;
  int node_rank_;
  int spins_;
};

}  // namespace hashep
