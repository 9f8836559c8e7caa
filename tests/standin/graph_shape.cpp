// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <stdexcept>
#include <vector>

#include "tests/standin/state.hpp"

namespace hashep::test::standin {
namespace {

/// Covers a graph with as few ways through it as can be: each node gets at most one that comes next
/// on its way. There are as many as nodes that may be under way at once (Dilworth, 1950).
class Ways {
 public:
  explicit Ways(const GraphNodes& nodes) : nodes_(nodes), next_(nodes.size()) {}

  int64_t count() {
    int64_t ways = 0;
    for (size_t node = 0; node < nodes_.size(); ++node) {
      seen_.assign(nodes_.size(), false);
      ways += put_on_way(node) ? 0 : 1;
    }
    return ways;
  }

 private:
  /// Finds a node that comes before and whose way can go on with this one.
  bool put_on_way(size_t node) {
    for (const size_t before : nodes_[node].all_before) {
      if (seen_[before]) continue;
      seen_[before] = true;
      if (!next_[before] || put_on_way(*next_[before])) {
        next_[before] = node;
        return true;
      }
    }
    return false;
  }

  const GraphNodes& nodes_;
  std::vector<std::optional<size_t>> next_;
  std::vector<bool> seen_;
};

int64_t depth_of(const GraphNodes& nodes) {
  std::vector<int64_t> depth;
  for (const GraphNode& node : nodes) {
    int64_t before = 0;
    for (const size_t i : node.after) before = std::max(before, depth[i]);
    depth.push_back(before + 1);
  }
  return depth.empty() ? 0 : *std::max_element(depth.begin(), depth.end());
}

bool meet_in_one_order(const GraphNodes& nodes) {
  std::optional<size_t> last;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!nodes[i].is_polled) continue;
    if (last && !nodes[i].all_before.contains(*last)) return false;
    last = i;
  }
  return true;
}

}  // namespace

GraphShape last_graph() {
  const auto nodes = state().last_graph.lock();
  if (nodes == nullptr) throw std::logic_error("the stand-in has no graph");
  return {.nodes = static_cast<int64_t>(nodes->size()),
          .width = Ways(*nodes).count(),
          .depth = depth_of(*nodes),
          .meets_in_one_order = meet_in_one_order(*nodes)};
}

}  // namespace hashep::test::standin
