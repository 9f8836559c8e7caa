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
/// the number of the exchange up to which it has come to the stage. Stages are those of one enum
/// (ExchangeStage, or another that has what_is_missing). Waits are bounded by the Watch's deadline
/// and yield the core, at once where the ranks of the node outnumber its cores.
class NodeFlags {
  struct alignas(64) Slot {
    std::atomic<int64_t> number;
  };
  static_assert(std::atomic<int64_t>::is_always_lock_free);

 public:
  /// Collective over `node`. `ranks`: the ranks of the node as errors name them. [node.size()]
  NodeFlags(const Communicator& node, std::span<const int32_t> ranks, Watch& watch);
  /// The same for other stages, and for all nodes at once, as SharedWindow. `spins`: polls before a
  /// wait yields the core. Collective over `all`.
  NodeFlags(const Communicator& node, std::span<const int32_t> ranks, Watch& watch, int num_stages,
            int spins, const Communicator& all);

  /// Bytes of shared memory that flags of a node take.
  static constexpr int64_t window_bytes(int64_t ranks_of_node, int num_stages) {
    return static_cast<int64_t>(sizeof(Slot)) * ranks_of_node * num_stages;
  }

  /// Ranks of the node.
  int64_t size() const { return std::ssize(ranks_); }

  /// States that this rank has come to `stage` up to exchange `number`; what it wrote before is
  /// then seen by ranks that wait for it.
  template <typename Stage>
  void set(Stage stage, int64_t number) {
    slot(node_rank_, static_cast<int>(stage)).store(number, std::memory_order_release);
  }

  /// Waits until all ranks of the node have come to `stage` up to exchange `number`. `work` is
  /// called between polls, for what else must go on.
  template <typename Stage, typename Work>
  void wait(Stage stage, int64_t number, Work&& work) {
    size_t next = 0;
    const auto all_there = [&] {
      work();
      next = first_missing(static_cast<int>(stage), number, next);
      return next == ranks_.size();
    };
    watch_.wait_until(spins_, all_there, [&] { return missing(stage, number); });
  }
  template <typename Stage>
  void wait(Stage stage, int64_t number) {
    wait(stage, number, [] {});
  }

  /// Whether they have now.
  template <typename Stage>
  bool is_reached(Stage stage, int64_t number) const {
    return first_missing(static_cast<int>(stage), number, 0) == ranks_.size();
  }

  /// The first rank that has not, for errors: ", waiting for rank 3's rows".
  template <typename Stage>
  std::string missing(Stage stage, int64_t number) const {
    const size_t first = first_missing(static_cast<int>(stage), number, 0);
    if (first == ranks_.size()) return "";
    return ", waiting for rank " + std::to_string(ranks_[first]) + what_is_missing(stage);
  }

 private:
  std::atomic<int64_t>& slot(int node_rank, int stage) const {
    auto* slots = reinterpret_cast<Slot*>(window_.data());
    return slots[node_rank * num_stages_ + stage].number;
  }
  /// The first rank of the node, from `next` on, that is not there; else their number.
  size_t first_missing(int stage, int64_t number, size_t next) const;

  SharedWindow window_;
  std::vector<int32_t> ranks_;
  Watch& watch_;
  int node_rank_;
  int num_stages_;
  int spins_;
};

}  // namespace hashep
