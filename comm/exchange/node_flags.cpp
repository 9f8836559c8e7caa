// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/node_flags.hpp"

#include <new>

#include "comm/core_share.hpp"

namespace hashep {
namespace {

constexpr double kWholeCore = 1.0 - 1e-6;  // but for roundings
constexpr int kSpins = 20000;  // some 50 us: longer than ranks of a small exchange are apart

/// Whether a rank that waits keeps another from running.
bool shares_cores(const Communicator& node, Watch& watch) {
  return node.size() > 1 && find_core_share(node, watch).cores < kWholeCore;
}

}  // namespace

NodeFlags::NodeFlags(const Communicator& node, std::span<const int32_t> ranks, Watch& watch)
    : window_(node, watch, static_cast<int64_t>(sizeof(Slot)) * node.size() * kNumExchangeStages),
      ranks_(ranks.begin(), ranks.end()),
      watch_(watch),
      node_rank_(node.rank()),
      spins_(shares_cores(node, watch) ? 1 : kSpins) {
  constexpr auto kOwnBytes = static_cast<int64_t>(sizeof(Slot)) * kNumExchangeStages;
  window_.reserve(node, watch, {node_rank_ * kOwnBytes, (node_rank_ + 1) * kOwnBytes});
  for (int stage = 0; stage < kNumExchangeStages; ++stage) {
    new (&slot(node_rank_, static_cast<ExchangeStage>(stage))) std::atomic<int64_t>(0);
  }
  watch.barrier(node);
}

size_t NodeFlags::first_missing(ExchangeStage stage, int64_t number, size_t next) const {
  while (next < ranks_.size() &&
         slot(static_cast<int>(next), stage).load(std::memory_order_acquire) >= number) {
    ++next;
  }
  return next;
}

std::string NodeFlags::missing(ExchangeStage stage, int64_t number) const {
  const size_t first = first_missing(stage, number, 0);
  if (first == ranks_.size()) return "";
  return ", waiting for rank " + std::to_string(ranks_[first]) + what_is_missing(stage);
}

}  // namespace hashep
