// SPDX-License-Identifier: Apache-2.0
#include "launch/table_summary.hpp"

#include <algorithm>

#include "core/format.hpp"
#include "core/narrow.hpp"
#include "launch/process/result_json.hpp"
#include "runtime/routing/table_builder.hpp"

namespace hashep {
namespace {

std::string hex(uint64_t value) {
  return format("%016llx", static_cast<unsigned long long>(value));
}

LoadFactors worst_of(const LoadFactors& a, const LoadFactors& b) {
  return {std::max(a.expert_max_over_mean, b.expert_max_over_mean),
          std::max(a.rank_max_over_mean, b.rank_max_over_mean)};
}

std::string row(const TableBuildOptions& options, const char* name, double of_experts,
                double of_ranks) {
  const std::string ranks = options.ranks > 0 ? format("%14.4f", of_ranks) : "";
  return format("  %-20s%12.4f%s\n", name, of_experts, ranks.c_str());
}

std::string corpus_text(const TokenCounts& counts) {
  const auto heaviest = std::max_element(counts.counts.begin(), counts.counts.end());
  const auto unseen = std::count(counts.counts.begin(), counts.counts.end(), 0);
  return format("  tokens              %lld in %lld files, and %lld of padding\n",
                static_cast<long long>(counts.total), static_cast<long long>(counts.files),
                static_cast<long long>(counts.padding)) +
         format("  ids                 %lld seen of %zu; the heaviest, %lld, is %.2f %% of all\n",
                static_cast<long long>(std::ssize(counts.counts) - unseen), counts.counts.size(),
                static_cast<long long>(heaviest - counts.counts.begin()),
                100.0 * static_cast<double>(*heaviest) /
                    static_cast<double>(std::max<int64_t>(counts.total, 1)));
}

std::string spread_text(const TableBuildOptions& options, const TableSummary& summary) {
  if (options.spread == 0.0) return "";
  return format(
      "\n  spread: %lld ids have %lld rows, taken as equally frequent here; this table is\n"
      "  for a model that is trained with it\n",
      static_cast<long long>(summary.spread_ids), static_cast<long long>(summary.spread_rows));
}

}  // namespace

TableSummary summarise_tables(const TableBuildOptions& options, const TokenCounts& counts,
                              std::span<const RoutingTable* const> table_of_layer,
                              std::span<const Placement> placements) {
  const int top_k = narrow<int>(options.top_k, "--top-k");
  TableSummary summary;
  summary.expert_bound = load_bound(counts.counts, options.num_experts, top_k);
  auto seed = static_cast<uint64_t>(options.seed);
  if (const auto& spread = table_of_layer.front()->spread) {
    summary.spread_ids = std::ssize(spread->ids);
    summary.spread_rows = spread->offsets.back();
  }
  for (size_t layer = 0; layer < table_of_layer.size(); ++layer) {
    const RoutingTable* const table = table_of_layer[layer];
    const Placement& placement = placements[layer];
    const double bound = rank_load_bound(counts.counts, placement, top_k);
    summary.rank_bound = layer == 0 ? bound : std::min(summary.rank_bound, bound);
    summary.built = worst_of(summary.built, table_load_factors(*table, counts.counts, placement));
    const RoutingTable random =
        build_random_table(options.vocab_size, options.num_experts, top_k, seed++);
    summary.random = worst_of(summary.random, table_load_factors(random, counts.counts, placement));
  }
  return summary;
}

std::string summary_text(const TableBuildOptions& options, const TokenCounts& counts,
                         const TableSummary& summary, const BuildTimes& times) {
  const std::string built = format("%.3f s to build", times.building);
  if (counts.total == 0) {
    return "  time                " + built + "\n  no tokens counted: loads are not known\n";
  }
  const double rate = static_cast<double>(counts.total + counts.padding) / times.counting * 1e-6;
  const std::string of_ranks =
      options.ranks > 0 ? format("%5s%lld ranks", "of ", static_cast<long long>(options.ranks))
                        : "";
  return corpus_text(counts) +
         format("  time                %.3f s to count (%.0f M tokens/s), %s\n\n", times.counting,
                rate, built.c_str()) +
         format("  %-20s%12s%14s\n", "load (max/mean)", "of experts", of_ranks.c_str()) +
         row(options, "bound of any table", summary.expert_bound, summary.rank_bound) +
         row(options, "random", summary.random.expert_max_over_mean,
             summary.random.rank_max_over_mean) +
         row(options, options.method == "random" ? "this table" : options.method.c_str(),
             summary.built.expert_max_over_mean, summary.built.rank_max_over_mean) +
         row(options, "times the bound", summary.built.expert_max_over_mean / summary.expert_bound,
             summary.built.rank_max_over_mean / summary.rank_bound) +
         spread_text(options, summary);
}

std::map<std::string, std::string> provenance(const TableBuildOptions& options,
                                              const TokenCounts& counts,
                                              const TableSummary& summary) {
  std::map<std::string, std::string> metadata = {
      {"producer", version_text()},
      {"method", options.method},
      {"num_experts", std::to_string(options.num_experts)},
      {"top_k", std::to_string(options.top_k)},
      {"num_layers", std::to_string(options.num_layers)},
      {"seed", std::to_string(options.seed)}};
  if (options.method == "balanced") metadata["target"] = target_name(options.target);
  if (options.ranks > 0) {
    metadata["ranks"] = std::to_string(options.ranks);
    metadata["placement"] = options.placement;
  }
  if (options.spread > 0.0) {
    metadata["spread"] = format("%g", options.spread);
    metadata["spread_ids"] = std::to_string(summary.spread_ids);
    metadata["spread_rows"] = std::to_string(summary.spread_rows);
    metadata["spread_rule"] =
        "row XXH64(position in the sequence as int64, seed = layer) mod rows; changes the model";
  }
  if (counts.total == 0) return metadata;
  metadata["corpus_digest"] = "xxh64:" + hex(counts.digest);
  metadata["corpus_tokens"] = std::to_string(counts.total);
  metadata["corpus_padding"] = std::to_string(counts.padding);
  metadata["corpus_files"] = std::to_string(counts.files);
  metadata["expert_bound"] = format("%.6f", summary.expert_bound);
  metadata["expert_max_over_mean"] = format("%.6f", summary.built.expert_max_over_mean);
  metadata["random_expert_max_over_mean"] = format("%.6f", summary.random.expert_max_over_mean);
  if (options.ranks > 0) {
    metadata["rank_bound"] = format("%.6f", summary.rank_bound);
    metadata["rank_max_over_mean"] = format("%.6f", summary.built.rank_max_over_mean);
    metadata["random_rank_max_over_mean"] = format("%.6f", summary.random.rank_max_over_mean);
  }
  return metadata;
}

}  // namespace hashep
