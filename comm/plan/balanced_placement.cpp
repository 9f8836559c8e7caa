// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <vector>

#include "hashep/error.hpp"
#include "hashep/placement.hpp"

namespace hashep {
namespace {

constexpr int kMaxSwaps = 1000;  // some dozens do for hundreds of experts

size_t at(int64_t index) {
  return static_cast<size_t>(index);
}

/// Things of given loads in groups of given sizes, with loads as even as may be.
class EvenGroups {
 public:
  /// loads: [things]; sizes: [groups], their sum being the number of things.
  EvenGroups(std::span<const int64_t> loads, std::span<const int64_t> sizes)
      : loads_(loads), members_(sizes.size()), sums_(sizes.size()) {
    fill(sizes);
    even_by_swaps();
  }

  std::span<const int32_t> members(int64_t group) const { return members_[at(group)]; }
  std::span<const int64_t> sums() const { return sums_; }

 private:
  /// Things by falling load, each to the least-loaded group with room.
  void fill(std::span<const int64_t> sizes) {
    std::vector<int32_t> order(loads_.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [this](int32_t a, int32_t b) { return loads_[at(a)] > loads_[at(b)]; });
    for (const int32_t thing : order) {
      size_t best = sizes.size();
      for (size_t group = 0; group < sizes.size(); ++group) {
        const bool has_room = std::ssize(members_[group]) < sizes[group];
        if (has_room && (best == sizes.size() || sums_[group] < sums_[best])) best = group;
      }
      sums_[best] += loads_[at(thing)];
      members_[best].push_back(thing);
    }
  }

  void even_by_swaps() {
    std::vector<size_t> by_load(sums_.size());
    std::iota(by_load.begin(), by_load.end(), size_t{0});
    for (int swaps = 0; swaps < kMaxSwaps; ++swaps) {
      std::sort(by_load.begin(), by_load.end(), [this](size_t a, size_t b) {
        return sums_[a] != sums_[b] ? sums_[a] < sums_[b] : a > b;
      });
      const size_t fullest = by_load.back();
      const bool swapped = std::any_of(by_load.begin(), by_load.end() - 1,
                                       [&](size_t other) { return swap_best(fullest, other); });
      if (!swapped) return;
    }
  }

  /// Swaps the two things whose loads differ by closest to half of what the groups' loads do.
  /// False where no swap lowers the larger load.
  bool swap_best(size_t full, size_t other) {
    const int64_t gap = sums_[full] - sums_[other];
    std::vector<int32_t>& out = members_[full];
    std::vector<int32_t>& in = members_[other];
    std::sort(in.begin(), in.end(), [this](int32_t a, int32_t b) { return is_lighter(a, b); });
    size_t best_out = 0;
    size_t best_in = 0;
    int64_t best_miss = gap;  // of twice the difference from the gap: gap itself changes nothing
    for (size_t i = 0; i < out.size(); ++i) {
      const int64_t wanted = loads_[at(out[i])] - gap / 2;
      const auto above = std::lower_bound(
          in.begin(), in.end(), wanted,
          [this](int32_t thing, int64_t load) { return loads_[at(thing)] < load; });
      for (auto candidate = above == in.begin() ? above : above - 1;
           candidate != in.end() && candidate <= above; ++candidate) {
        const int64_t miss = std::abs(2 * (loads_[at(out[i])] - loads_[at(*candidate)]) - gap);
        if (miss >= best_miss) continue;
        best_miss = miss;
        best_out = i;
        best_in = at(candidate - in.begin());
      }
    }
    if (best_miss >= gap) return false;
    const int64_t moved = loads_[at(out[best_out])] - loads_[at(in[best_in])];
    std::swap(out[best_out], in[best_in]);
    sums_[full] -= moved;
    sums_[other] += moved;
    return true;
  }

  bool is_lighter(int32_t a, int32_t b) const {
    return loads_[at(a)] != loads_[at(b)] ? loads_[at(a)] < loads_[at(b)] : a < b;
  }

  std::span<const int64_t> loads_;
  std::vector<std::vector<int32_t>> members_;  // of each group
  std::vector<int64_t> sums_;                  // their loads
};

}  // namespace

Placement balanced_placement(std::span<const int64_t> loads, int ep_size) {
  if (ep_size < 1) throw InputError("placement: ep_size must be at least 1");
  return balanced_placement(loads, one_node(ep_size));
}

Placement balanced_placement(std::span<const int64_t> loads, const NodeMap& nodes) {
  const auto num_experts = static_cast<int64_t>(loads.size());
  std::vector<int64_t> sizes;
  for (int rank = 0; rank < nodes.ep_size(); ++rank) {
    sizes.push_back(split_range(num_experts, nodes.ep_size(), rank).size());
  }
  const EvenGroups groups(loads, sizes);

  // Which rank each group goes to. On one node that makes no difference to any load.
  std::vector<int32_t> seats(sizes.size());
  std::iota(seats.begin(), seats.end(), 0);
  if (nodes.num_nodes() > 1) {
    std::vector<int64_t> node_sizes;
    for (int node = 0; node < nodes.num_nodes(); ++node) {
      node_sizes.push_back(std::ssize(nodes.ranks_of(node)));
    }
    const EvenGroups nodes_groups(groups.sums(), node_sizes);
    for (int node = 0; node < nodes.num_nodes(); ++node) {
      std::vector<int32_t> seated(nodes_groups.members(node).begin(),
                                  nodes_groups.members(node).end());
      std::sort(seated.begin(), seated.end());
      for (size_t i = 0; i < seated.size(); ++i) seats[at(seated[i])] = nodes.ranks_of(node)[i];
    }
  }

  std::vector<int32_t> rank_of(loads.size());
  for (size_t group = 0; group < sizes.size(); ++group) {
    for (const int32_t expert : groups.members(static_cast<int64_t>(group))) {
      rank_of[at(expert)] = seats[group];
    }
  }
  return {std::move(rank_of), nodes.ep_size()};
}

}  // namespace hashep
