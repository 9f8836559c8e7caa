// SPDX-License-Identifier: Apache-2.0
#include "launch/table_build.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "core/atomic_file.hpp"
#include "core/narrow.hpp"
#include "core/thread_choice.hpp"
#include "hashep/error.hpp"
#include "launch/progress.hpp"
#include "launch/table_build_options.hpp"
#include "launch/table_placements.hpp"
#include "launch/table_summary.hpp"
#include "runtime/routing/table_builder.hpp"
#include "runtime/routing/table_writer.hpp"
#include "runtime/tables/clustered_table.hpp"
#include "runtime/tables/kmeans.hpp"
#include "runtime/tables/spread_builder.hpp"

namespace hashep {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

TokenCounts count_corpus(const TableBuildOptions& options) {
  const int64_t bytes = token_file_bytes(options.tokens);
  Progress progress(options.progress, bytes / kMiB + 1, 1, "MiB", "MiB");
  return count_tokens(options.tokens, options.vocab_size,
                      [&](int64_t done) { progress.update(done / kMiB); });
}

/// Makes the tables of one layer after the other.
class LayerBuilder {
 public:
  LayerBuilder(const TableBuildOptions& options, const TokenCounts& counts)
      : options_(options), counts_(counts), top_k_(narrow<int>(options.top_k, "--top-k")) {
    if (options.embeddings.empty()) return;
    embeddings_.emplace(options.embeddings, options.vocab_size);
    if (options.num_experts > options.vocab_size) {
      throw InputError("--method " + options.method + " needs --vocab-size >= --num-experts");
    }
  }

  /// `placement`: of this layer's experts.
  RoutingTable build(int64_t layer, const Placement& placement) {
    const uint64_t seed = static_cast<uint64_t>(options_.seed) + static_cast<uint64_t>(layer);
    if (options_.spread > 0.0) return build_spread(layer, placement, seed);
    if (options_.method == "balanced") return build_balanced(counts_.counts, placement, seed);
    if (options_.method == "clustered") {
      return build_clustered_table(nearest_clusters(seed, top_k_), options_.num_experts, top_k_);
    }
    if (options_.method == "dispersed") {
      if (clusters_.empty()) clusters_ = nearest_clusters(seed, 1);
      return build_dispersed_table(clusters_, options_.num_experts, top_k_, seed);
    }
    return build_random_table(options_.vocab_size, options_.num_experts, top_k_, seed);
  }

 private:
  RoutingTable build_balanced(std::span<const int64_t> counts, const Placement& placement,
                              uint64_t seed) const {
    return build_targeted_table(counts, placement, top_k_, options_.target, seed);
  }

  /// Each row of a hot id is an id of its own to the builder.
  RoutingTable build_spread(int64_t layer, const Placement& placement, uint64_t seed) const {
    const SpreadCounts rows =
        spread_counts(counts_.counts, options_.num_experts, top_k_, options_.spread);
    const RoutingTable built =
        options_.method == "balanced"
            ? build_balanced(rows.counts, placement, seed)
            : build_random_table(std::ssize(rows.counts), options_.num_experts, top_k_, seed);
    RoutingTable table = fold_spread_rows(built, rows);
    table.spread->seed = static_cast<uint64_t>(layer);
    return table;
  }

  std::vector<int32_t> nearest_clusters(uint64_t seed, int k) const {
    const KMeansOptions kmeans{
        .num_clusters = options_.num_experts,
        .seed = seed,
        .threads = choose_threads(options_.threads, "--threads", own_cores()).threads};
    Progress progress(options_.progress, kmeans.max_iterations, 1, "iteration", "iterations");
    const std::vector<float> centroids = find_centroids(
        *embeddings_, kmeans, [&](int64_t iteration, int64_t) { progress.update(iteration); });
    return nearest_centroids(*embeddings_, centroids, k, kmeans.threads);
  }

  const TableBuildOptions& options_;
  const TokenCounts& counts_;
  int top_k_;
  std::optional<EmbeddingFile> embeddings_;
  std::vector<int32_t> clusters_;  // of dispersed: the same for all layers
};

}  // namespace

void table_build(int argc, char** argv) {
  const auto options = parse_table_build(argc, argv);
  if (!options) return;
  const AtomicFile place(options->output);  // tells before the work whether it can be written to
  const std::vector<Placement> placements =
      table_placements(options->placement, options->num_layers, options->num_experts,
                       narrow<int>(std::max<int64_t>(options->ranks, 1), "--ranks"));
  BuildTimes times;
  const auto begin = std::chrono::steady_clock::now();
  const TokenCounts counts = count_corpus(*options);
  times.counting = seconds_since(begin);
  if ((options->method == "balanced" || options->spread > 0.0) && counts.total == 0) {
    throw InputError("--tokens: nothing but padding in them");
  }
  const auto counted = std::chrono::steady_clock::now();
  LayerBuilder builder(*options, counts);
  std::vector<NamedTable> tables;
  for (int64_t layer = 0; layer < options->num_layers; ++layer) {
    tables.push_back({options->has_layers ? layer_table_name(layer) : "tid2eid",
                      builder.build(layer, placements[layer])});
  }
  times.building = seconds_since(counted);
  std::vector<const RoutingTable*> table_of_layer;
  for (const NamedTable& named : tables) {
    validate_table(named.table, options->num_experts, "table build");
    table_of_layer.push_back(&named.table);
  }
  const TableSummary summary = summarise_tables(*options, counts, table_of_layer, placements);
  save_tables(options->output, tables, provenance(*options, counts, summary), options->dtype);
  std::fputs(summary_text(*options, counts, summary, times).c_str(), stdout);
}

}  // namespace hashep
