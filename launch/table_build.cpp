// SPDX-License-Identifier: Apache-2.0
#include "launch/table_build.hpp"

#include <algorithm>
#include <cstdio>

#include "core/atomic_file.hpp"
#include "core/error.hpp"
#include "core/narrow.hpp"
#include "launch/progress.hpp"
#include "launch/table_build_options.hpp"
#include "launch/table_summary.hpp"
#include "runtime/routing/table_writer.hpp"

namespace hashep {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

TokenCounts count_corpus(const TableBuildOptions& options) {
  const int64_t bytes = token_file_bytes(options.tokens);
  Progress progress(options.progress, bytes / kMiB + 1, 1, "MiB", "MiB");
  return count_tokens(options.tokens, options.vocab_size,
                      [&](int64_t done) { progress.update(done / kMiB); });
}

RoutingTable build_layer(const TableBuildOptions& options, const TokenCounts& counts,
                         int64_t layer) {
  const int top_k = narrow<int>(options.top_k, "--top-k");
  const uint64_t seed = static_cast<uint64_t>(options.seed) + static_cast<uint64_t>(layer);
  if (options.method == "balanced") {
    const int ep_size = narrow<int>(std::max<int64_t>(options.ranks, 1), "--ranks");
    return build_targeted_table(counts.counts, contiguous_placement(options.num_experts, ep_size),
                                top_k, options.target, seed);
  }
  return build_random_table(options.vocab_size, options.num_experts, top_k, seed);
}

}  // namespace

void table_build(int argc, char** argv) {
  const auto options = parse_table_build(argc, argv);
  if (!options) return;
  const AtomicFile place(options->output);  // tells before the work whether it can be written to
  const TokenCounts counts = count_corpus(*options);
  if (options->method == "balanced" && counts.total == 0) {
    throw InputError("--tokens: nothing but padding in them");
  }
  std::vector<NamedTable> tables;
  for (int64_t layer = 0; layer < options->num_layers; ++layer) {
    tables.push_back({options->has_layers ? layer_table_name(layer) : "tid2eid",
                      build_layer(*options, counts, layer)});
  }
  std::vector<const RoutingTable*> table_of_layer;
  for (const NamedTable& named : tables) {
    validate_table(named.table, options->num_experts, "table build");
    table_of_layer.push_back(&named.table);
  }
  const TableSummary summary = summarise_tables(*options, counts, table_of_layer);
  save_tables(options->output, tables, provenance(*options, counts, summary), options->dtype);
  std::fputs(summary_text(*options, counts, summary).c_str(), stdout);
}

}  // namespace hashep
