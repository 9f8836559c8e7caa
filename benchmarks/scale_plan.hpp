// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "benchmarks/rank_options.hpp"

namespace hashep::bench {

/// What `hashep-bench scale` measures: one layer on more and more of the ranks at hand.
struct ScaleOptions {
  LayerOptions layer;  // its ffn_sizes and transports stay as they are
  int64_t ffn_size = 4096;
  TransportKind transport = TransportKind::automatic;
  std::vector<std::string> modes{"strong", "weak"};
  std::vector<int64_t> ranks;    // sizes; empty: 1, 2, 4 ... and all ranks
  int64_t batch_tokens = 0;      // strong: of all ranks; 0: tokens_per_rank on the largest size
  int64_t experts_per_rank = 0;  // weak; 0: num_experts over all ranks, as in strong
  int repeats = 3;
};

/// Checks what the options alone can tell. Local. Throws InputError.
void validate(const ScaleOptions& options);

/// A layer on the first `ranks` ranks.
struct ScalePoint {
  int ranks = 1;
  int64_t tokens_per_rank = 0;
  int64_t num_experts = 0;

  bool operator==(const ScalePoint&) const = default;
};

/// A way to grow, and which of the points belong to it, by rising size. Points that two series
/// share are measured once.
struct ScaleSeries {
  std::string name;  // strong or weak
  std::vector<size_t> points;

  /// The share of the first point's time that the layer would take at `point`, had each rank the
  /// speed that the first size has.
  double ideal_share(const ScalePoint& first, const ScalePoint& point) const;
};

struct ScalePlan {
  std::vector<int> sizes;          // ascending
  std::vector<ScalePoint> points;  // by rising size
  std::vector<ScaleSeries> series;
};

/// What is measured with `ranks` ranks at hand. Pure. Throws InputError where sizes are not to be
/// had, or the batch of strong scaling does not divide evenly.
ScalePlan plan_scaling(const ScaleOptions& options, int ranks);

/// The layer of a point.
LayerOptions layer_options(const ScaleOptions& options, const ScalePoint& point);

}  // namespace hashep::bench
