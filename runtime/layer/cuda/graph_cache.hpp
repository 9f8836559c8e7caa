// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/cuda/graph.hpp"
#include "hashep/backend.hpp"

namespace hashep {

/// The graphs of the shapes of steps met last, a bounded number of them. A graph stands for all
/// that a step bakes into it: addresses, launch sizes and GEMM shapes, as words that the caller
/// lists. What kernels read from arrays in GPU memory may change between replays.
class GraphCache {
 public:
  static constexpr int64_t kMaxEntries = 16;

  explicit GraphCache(GraphMode mode) : mode_(mode) {}

  /// The graph of a step of this shape; captured by `work` on `stream` where it is worth it and not
  /// there yet; null where the step is to be launched directly. Ahead of the step. Valid until
  /// kMaxEntries other shapes were asked for.
  const CudaGraph* get(std::span<const int64_t> shape, DeviceStream stream,
                       const std::function<void()>& work);

  /// Whether this shape is among those met last. True where no graphs are kept.
  bool knows(std::span<const int64_t> shape) const;

  /// Addresses have changed: drops the graphs, not the shapes that were met.
  void drop_graphs();

  /// Graphs captured so far.
  int64_t num_captured() const { return num_captured_; }

 private:
  struct Entry {
    std::vector<int64_t> shape;
    std::optional<CudaGraph> graph;
    int64_t last_use = 0;
  };

  Entry* find(std::span<const int64_t> shape) const;  // null: not there
  Entry& find_or_replace(std::span<const int64_t> shape);

  GraphMode mode_;
  std::vector<std::unique_ptr<Entry>> entries_;
  int64_t uses_ = 0;
  int64_t num_captured_ = 0;
};

}  // namespace hashep
