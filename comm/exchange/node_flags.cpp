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
    : NodeFlags(node, ranks, watch, kNumExchangeStages, shares_cores(node, watch) ? 1 : kSpins,
                node) {}

NodeFlags::NodeFlags(const Communicator& node, std::span<const int32_t> ranks, Watch& watch,
                     int num_stages, int spins, const Communicator& all)
    : window_(node, watch, window_bytes(node.size(), num_stages), all),
      ranks_(ranks.begin(), ranks.end()),
      watch_(watch),
      node_rank_(node.rank()),
      num_stages_(num_stages),
      spins_(spins) {
  const int64_t own_bytes = window_bytes(1, num_stages);
  window_.reserve(all, watch, {node_rank_ * own_bytes, (node_rank_ + 1) * own_bytes});
  for (int stage = 0; stage < num_stages; ++stage) {
    new (&slot(node_rank_, stage)) std::atomic<int64_t>(0);
  }
  watch.barrier(node);
}

size_t NodeFlags::first_missing(int stage, int64_t number, size_t next) const {
  while (next < ranks_.size() &&
         slot(static_cast<int>(next), stage).load(std::memory_order_acquire) >= number) {
    ++next;
  }
  return next;
}

}  // namespace hashep
