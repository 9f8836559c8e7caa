// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/dry_run.hpp"

#include <algorithm>

#include "comm/plan/plan_size.hpp"
#include "comm/plan/plan_stats.hpp"
#include "kernels/parallel_parts.hpp"
#include "runtime/layer/planning_options.hpp"

namespace hashep {
namespace {

/// One dry run: sums and largest values over steps.
class DryRun {
 public:
  DryRun(const StackRouting& routing, const TokenStream& stream, const DryRunOptions& options)
      : routing_(routing),
        stream_(stream),
        options_(options),
        ep_size_(routing.placements.front().ep_size()),
        nodes_(routing.nodes ? *routing.nodes : one_node(ep_size_)),
        words_(routing.count_words()),
        counts_(static_cast<size_t>(ep_size_ * words_)),
        expert_rows_(routing.routers.size(),
                     std::vector<int64_t>(static_cast<size_t>(routing.num_experts()))),
        buffers_(static_cast<size_t>(ep_size_)),
        plan_bytes_(static_cast<size_t>(ep_size_)) {
    if (options.traffic) result_.traffic = empty_traffic(nodes_, *options.traffic);
  }

  void run_step(int64_t step) {
    count_step(step);
    for (int64_t layer = 0; layer < routing_.num_layers(); ++layer) {
      const Placement& placement = routing_.placements[static_cast<size_t>(layer)];
      const LayerTraffic moved = layer_traffic(counts_of(layer), placement, nodes_);
      for (size_t expert = 0; expert < moved.expert_rows.size(); ++expert) {
        expert_rows_[static_cast<size_t>(layer)][expert] += moved.expert_rows[expert];
      }
      rows_intra_ += moved.rows_intra;
      rows_inter_ += moved.rows_inter;
      rows_inter_dedup_ += moved.rows_inter_dedup;
      for (size_t rank = 0; rank < buffers_.size(); ++rank) {
        keep_largest(moved.buffers[rank], buffers_[rank]);
      }
      if (options_.traffic) {
        add_traffic(counts_of(layer), placement, nodes_, *options_.traffic, result_.traffic);
      }
    }
    size_plans();
  }

  DryRunResult finish() {
    for (size_t layer = 0; layer < expert_rows_.size(); ++layer) {
      const Placement& placement = routing_.placements[layer];
      const LoadFactors load = load_factors(expert_rows_[layer], placement);
      result_.expert_max_over_mean =
          std::max(result_.expert_max_over_mean, load.expert_max_over_mean);
      result_.rank_max_over_mean = std::max(result_.rank_max_over_mean, load.rank_max_over_mean);
      result_.node_max_over_mean = std::max(
          result_.node_max_over_mean, node_load_factor(expert_rows_[layer], placement, nodes_));
    }
    const auto bytes_of_step = [this](int64_t rows) {
      return rows * options_.row_bytes / std::max<int64_t>(1, options_.steps);
    };
    result_.bytes_intra = bytes_of_step(rows_intra_);
    result_.bytes_inter = bytes_of_step(rows_inter_);
    result_.bytes_inter_dedup = bytes_of_step(rows_inter_dedup_);
    for (const BufferRows& rows : buffers_) {
      result_.buffer_bytes_max = std::max(
          result_.buffer_bytes_max,
          row_buffer_bytes(rows, options_.exchange, routing_.node_reduce, options_.row_bytes));
    }
    // Transport mpi knows no nodes, and counts none.
    const int64_t count_words = options_.exchange == Exchange::messages
                                    ? routing_.num_layers() * routing_.num_experts()
                                    : routing_.count_words();
    result_.plan_bytes_max =
        (options_.plan_depth + 1) * *std::max_element(plan_bytes_.begin(), plan_bytes_.end()) +
        planning_buffer_bytes(count_words, ep_size_, {.depth = options_.plan_depth});
    return std::move(result_);
  }

 private:
  /// Each rank's counts for all layers.
  void count_step(int64_t step) {
    parallel_parts(ep_size_, options_.threads, [&](int64_t begin, int64_t end) {
      BatchPlan plan;  // of one rank after the other
      for (int64_t rank = begin; rank < end; ++rank) {
        read_batch(stream_,
                   {.batch_tokens = options_.batch_tokens,
                    .seq_len = options_.seq_len,
                    .ep_size = ep_size_,
                    .ep_rank = static_cast<int>(rank)},
                   step, plan.batch);
        route_batch(routing_, plan,
                    std::span(counts_).subspan(static_cast<size_t>(rank * words_),
                                               static_cast<size_t>(words_)));
      }
    });
  }

  CountMatrix counts_of(int64_t layer) const {
    const auto first = static_cast<size_t>(layer * routing_.layer_words());
    return {std::span(counts_).subspan(first), words_};
  }

  void size_plans() {
    // Transport mpi knows no nodes.
    const NodeMap planned = options_.exchange == Exchange::messages ? one_node(ep_size_) : nodes_;
    parallel_parts(ep_size_, options_.threads, [&](int64_t begin, int64_t end) {
      for (int64_t rank = begin; rank < end; ++rank) {
        const int64_t tokens = split_range(options_.batch_tokens, ep_size_, rank).size();
        int64_t bytes = 0;
        for (int64_t layer = 0; layer < routing_.num_layers(); ++layer) {
          const auto l = static_cast<size_t>(layer);
          bytes +=
              expected_plan_bytes(counts_of(layer), routing_.placements[l], planned,
                                  static_cast<int>(rank), tokens * routing_.routers[l]->top_k());
        }
        int64_t& most = plan_bytes_[static_cast<size_t>(rank)];
        most = std::max(most, bytes);
      }
    });
  }

  const StackRouting& routing_;
  const TokenStream& stream_;
  DryRunOptions options_;
  int ep_size_;
  NodeMap nodes_;
  int64_t words_;                                  // of a rank's counts
  std::vector<CountWord> counts_;                  // [ep_size, words_], of one step
  std::vector<std::vector<int64_t>> expert_rows_;  // by layer, over all steps
  std::vector<BufferRows> buffers_;                // [ep_size]
  std::vector<int64_t> plan_bytes_;                // of all layers. [ep_size]
  int64_t rows_intra_ = 0;
  int64_t rows_inter_ = 0;
  int64_t rows_inter_dedup_ = 0;
  DryRunResult result_;
};

}  // namespace

DryRunResult dry_run(const StackRouting& routing, const TokenStream& stream,
                     const DryRunOptions& options) {
  DryRun run(routing, stream, options);
  for (int64_t step = 0; step < options.steps; ++step) run.run_step(step);
  return run.finish();
}

}  // namespace hashep
