// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/dry_run.hpp"

#include <algorithm>

#include "comm/plan/plan_size.hpp"
#include "comm/plan/plan_stats.hpp"
#include "kernels/parallel.hpp"
#include "runtime/layer/planning_options.hpp"

namespace hashep {
namespace {

/// One dry run: sums and largest values over steps.
class DryRun {
 public:
  DryRun(const StackGeometry& geometry, const Router& router, const TokenStream& stream,
         const DryRunOptions& options)
      : geometry_(geometry),
        router_(router),
        stream_(stream),
        options_(options),
        ep_size_(geometry.ep_size()),
        nodes_(geometry.nodes() ? *geometry.nodes() : one_node(ep_size_)),
        words_(geometry.batch_words()),
        counts_(ep_size_ * words_),
        expert_rows_(geometry.num_layers(), std::vector<int64_t>(geometry.num_experts())),
        buffers_(ep_size_),
        plan_bytes_(ep_size_) {
    if (options.with_uses) {
      result_.uses.assign(static_cast<size_t>(ep_size_), std::vector<StepUses>(options.steps));
    }
    if (options.traffic) result_.traffic = empty_traffic(nodes_, *options.traffic);
  }

  void run_step(int64_t step) {
    count_step(step);
    std::vector<int64_t> tapes(static_cast<size_t>(ep_size_));
    std::vector<int64_t> first_experts(static_cast<size_t>(ep_size_));
    for (int64_t layer = 0; layer < geometry_.num_layers(); ++layer) {
      const Placement& placement = geometry_.placement(layer);
      const LayerTraffic moved = layer_traffic(counts_of(layer), placement, nodes_);
      for (size_t expert = 0; expert < moved.expert_rows.size(); ++expert) {
        expert_rows_[layer][expert] += moved.expert_rows[expert];
      }
      rows_intra_ += moved.rows_intra;
      rows_inter_ += moved.rows_inter;
      rows_inter_dedup_ += moved.rows_inter_dedup;
      for (size_t rank = 0; rank < buffers_.size(); ++rank) {
        keep_largest(moved.buffers[rank], buffers_[rank]);
      }
      if (options_.with_uses) add_uses(step, placement, moved.expert_rows, first_experts);
      if (options_.tape) add_tapes(placement, moved.expert_rows, tapes);
      if (options_.traffic) {
        add_traffic(counts_of(layer), placement, nodes_, *options_.traffic, result_.traffic);
      }
    }
    result_.tape_bytes_max = std::max(result_.tape_bytes_max, *std::ranges::max_element(tapes));
    size_plans();
  }

  DryRunResult finish() {
    for (size_t layer = 0; layer < expert_rows_.size(); ++layer) {
      const Placement& placement = geometry_.placement(static_cast<int64_t>(layer));
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
          row_buffer_bytes(rows, options_.exchange, geometry_.node_reduce(), options_.row_bytes));
    }
    // Transport mpi knows no nodes, and counts none.
    const int64_t node_words = geometry_.num_layers() * geometry_.counted_nodes();
    const int64_t words = options_.exchange == RowBuffers::messages ? words_ - node_words : words_;
    const PlanningOptions planning{.depth = options_.plan_depth};
    for (int rank = 0; rank < ep_size_; ++rank) {
      const int64_t ranks_of_node = std::ssize(nodes_.ranks_of(nodes_.node_of(rank)));
      result_.plan_bytes_max =
          std::max(result_.plan_bytes_max,
                   (options_.plan_depth + 1) * plan_bytes_[rank] +
                       planning_buffer_bytes(words, ep_size_, ranks_of_node, planning));
      result_.counts_bytes_node_max =
          std::max(result_.counts_bytes_node_max,
                   planning_node_bytes(words, ep_size_, ranks_of_node, planning) +
                       ranks_of_node * (kStatusWords + words) * int64_t{sizeof(CountWord)});
    }
    return std::move(result_);
  }

 private:
  /// Each rank's counts for all layers.
  void count_step(int64_t step) {
    parallel_ranges(ep_size_, options_.threads, 1, [&](int64_t begin, int64_t end) {
      StreamBatch batch;  // of one rank after the other
      BatchPlan plan;
      for (int64_t rank = begin; rank < end; ++rank) {
        read_batch(stream_,
                   {.batch_tokens = options_.batch_tokens,
                    .seq_len = options_.seq_len,
                    .ep_size = ep_size_,
                    .ep_rank = static_cast<int>(rank)},
                   step, batch);
        route_batch(geometry_, router_, batch.view(), plan,
                    std::span(counts_).subspan(rank * words_, words_));
      }
    });
  }

  /// What each rank's tape takes for a layer. tapes: [ep_size]
  void add_tapes(const Placement& placement, std::span<const int64_t> expert_rows,
                 std::span<int64_t> tapes) const {
    for (int rank = 0; rank < ep_size_; ++rank) {
      int64_t rows = 0;
      for (const int32_t expert : placement.local_experts(rank)) rows += expert_rows[expert];
      tapes[rank] +=
          options_.tape->layer(rows, split_range(options_.batch_tokens, ep_size_, rank).size());
    }
  }

  /// first_experts: by rank, the number of a layer's first one; becomes that of the next layer's.
  void add_uses(int64_t step, const Placement& placement, std::span<const int64_t> expert_rows,
                std::span<int64_t> first_experts) {
    for (int rank = 0; rank < ep_size_; ++rank) {
      for (const int32_t expert : placement.local_experts(rank)) {
        const int64_t item = first_experts[rank]++;
        if (expert_rows[expert] > 0)
          result_.uses[rank][step].push_back({item, expert_rows[expert]});
      }
    }
  }

  CountMatrix counts_of(int64_t layer) const {
    const auto first = static_cast<size_t>(geometry_.layer_begin(layer));
    return {std::span(counts_).subspan(first), words_};
  }

  void size_plans() {
    // Transport mpi knows no nodes.
    const NodeMap planned = options_.exchange == RowBuffers::messages ? one_node(ep_size_) : nodes_;
    parallel_ranges(ep_size_, options_.threads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t rank = begin; rank < end; ++rank) {
        const int64_t tokens = split_range(options_.batch_tokens, ep_size_, rank).size();
        int64_t bytes = 0;
        for (int64_t layer = 0; layer < geometry_.num_layers(); ++layer) {
          bytes += expected_plan_bytes(counts_of(layer), geometry_.placement(layer), planned,
                                       static_cast<int>(rank), tokens * geometry_.top_k());
        }
        int64_t& most = plan_bytes_[rank];
        most = std::max(most, bytes);
      }
    });
  }

  const StackGeometry& geometry_;
  const Router& router_;
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

DryRunResult dry_run(const StackGeometry& geometry, const Router& router, const TokenStream& stream,
                     const DryRunOptions& options) {
  DryRun run(geometry, router, stream, options);
  for (int64_t step = 0; step < options.steps; ++step) run.run_step(step);
  return run.finish();
}

}  // namespace hashep
