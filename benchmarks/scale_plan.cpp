// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/scale_plan.hpp"

#include <algorithm>

#include "hashep/error.hpp"
#include "runtime/layer/backend_factory.hpp"

namespace hashep::bench {
namespace {

std::vector<int> sizes_of(const std::vector<int64_t>& wanted, int ranks) {
  std::vector<int> sizes;
  for (const int64_t size : wanted) {
    if (size > ranks) {
      throw InputError("--ranks " + std::to_string(size) + ": there are " + std::to_string(ranks) +
                       " ranks");
    }
    sizes.push_back(static_cast<int>(size));
  }
  if (wanted.empty()) {
    for (int64_t size = 1; size < ranks; size *= 2) sizes.push_back(static_cast<int>(size));
    sizes.push_back(ranks);
  }
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  return sizes;
}

int64_t share_of_batch(const ScaleOptions& options, const std::vector<int>& sizes, int size) {
  const bool asked = options.batch_tokens > 0;
  const int64_t batch =
      asked ? options.batch_tokens : options.layer.common.tokens_per_rank * sizes.back();
  if (batch % size != 0) {
    const std::string name =
        asked ? "--batch-tokens "
              : "--tokens-per-rank x " + std::to_string(sizes.back()) + " ranks = ";
    throw InputError(name + std::to_string(batch) + ": does not divide evenly among " +
                     std::to_string(size) +
                     " ranks, as strong scaling needs (--batch-tokens, "
                     "--ranks, --mode weak)");
  }
  return batch / size;
}

ScalePoint point_of(const ScaleOptions& options, const std::string& mode,
                    const std::vector<int>& sizes, int size) {
  const RankOptions& common = options.layer.common;
  if (mode == "strong") return {size, share_of_batch(options, sizes, size), common.num_experts};
  ScalePoint point{size, common.tokens_per_rank, common.num_experts};
  if (options.experts_per_rank > 0) {
    point.num_experts = options.experts_per_rank * size;
    try {
      validate(layer_options(options, point));
    } catch (const InputError& error) {
      throw InputError("--experts-per-rank " + std::to_string(options.experts_per_rank) + " on " +
                       std::to_string(size) + " ranks: " + error.marked());
    }
  }
  return point;
}

}  // namespace

void validate(const ScaleOptions& options) {
  LayerOptions layer = options.layer;
  layer.ffn_sizes = {options.ffn_size};
  validate(layer);
  require_transport(options.transport);
  if (options.experts_per_rank > kMaxModelSize) {
    throw InputError("--experts-per-rank " + std::to_string(options.experts_per_rank) +
                     ": at most " + std::to_string(kMaxModelSize));
  }
}

double ScaleSeries::ideal_share(const ScalePoint& first, const ScalePoint& point) const {
  if (name == "weak") return 1.0;
  return static_cast<double>(first.ranks) / static_cast<double>(point.ranks);
}

ScalePlan plan_scaling(const ScaleOptions& options, int ranks) {
  ScalePlan plan;
  plan.sizes = sizes_of(options.ranks, ranks);
  for (const std::string& mode : options.modes) plan.series.push_back({mode, {}});
  for (const int size : plan.sizes) {
    for (ScaleSeries& series : plan.series) {
      const ScalePoint point = point_of(options, series.name, plan.sizes, size);
      const auto known = std::find(plan.points.begin(), plan.points.end(), point);
      series.points.push_back(static_cast<size_t>(known - plan.points.begin()));
      if (known == plan.points.end()) plan.points.push_back(point);
    }
  }
  return plan;
}

LayerOptions layer_options(const ScaleOptions& options, const ScalePoint& point) {
  LayerOptions layer = options.layer;
  layer.common.tokens_per_rank = point.tokens_per_rank;
  layer.common.num_experts = point.num_experts;
  return layer;
}

}  // namespace hashep::bench
