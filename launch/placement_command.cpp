// SPDX-License-Identifier: Apache-2.0
#include "launch/placement_command.hpp"

#include <cstdio>

#include "comm/plan/placement_file.hpp"
#include "comm/plan/plan_stats.hpp"
#include "core/atomic_file.hpp"
#include "core/narrow.hpp"
#include "hashep/error.hpp"
#include "launch/plan_options.hpp"
#include "launch/single_process.hpp"
#include "launch/static_routing.hpp"
#include "runtime/tokens/routed_loads.hpp"
#include "runtime/tokens/token_counts.hpp"

namespace hashep {
namespace {

void print_layers(const PlacementRecord& record, const NodeMap& nodes) {
  std::printf("  load, max/mean       contiguous             balanced\n");
  std::printf("  layer     expert     rank     node     rank     node\n");
  for (size_t layer = 0; layer < record.layers.size(); ++layer) {
    const std::vector<int64_t>& counts = record.expert_counts[layer];
    const Placement& balanced = record.layers[layer];
    const Placement contiguous = contiguous_placement(balanced.num_experts(), balanced.ep_size());
    const LoadFactors before = load_factors(counts, contiguous);
    const LoadFactors after = load_factors(counts, balanced);
    std::printf("  %5zu%11.3f%9.3f%9.3f%9.3f%9.3f\n", layer, before.expert_max_over_mean,
                before.rank_max_over_mean, node_load_factor(counts, contiguous, nodes),
                after.rank_max_over_mean, node_load_factor(counts, balanced, nodes));
  }
}

void make_placement_file(int argc, char** argv) {
  CLI::App app(
      "Places experts on ranks so that a corpus loads ranks and nodes evenly, for hashep run "
      "--placement FILE.json. Numbers take K, M, G (powers of 1024).",
      "hashep placement");
  RoutingOptions options;
  declare_static_routing(app, options);
  app.get_option("--tokens")->required()->description("Token ids (.npy, .bin) or text: all count");
  int64_t ranks = 8;
  int64_t ranks_per_node = 0;
  std::string output;
  add_count(app, "--ranks", ranks, kRankLimits, "Ranks of the job")->group("Job");
  add_count(app, "--ranks-per-node", ranks_per_node, {.least = 0, .most = kMaxRanks},
            "Ranks of a node; 0: all share one")
      ->group("Job");
  app.add_option("--output", output, "The placement file, *.json")
      ->type_name("FILE")
      ->required()
      ->group("Results");
  if (!parse_options(app, argc, argv, 2)) return;
  if (!output.ends_with(".json")) {
    throw InputError("--output " + output + ": a placement file is named *.json");
  }
  if (ranks_per_node == 0) ranks_per_node = ranks;
  AtomicFile file(output);

  const StaticRouting routing = open_static_routing(app, options);
  const TokenCounts corpus = count_tokens({&options.tokens, 1}, routing.config.vocab_size);
  if (corpus.total == 0) throw InputError("--tokens: nothing but padding in them");
  const NodeMap nodes = nodes_of_equal_size(narrow<int>(ranks, "--ranks"), ranks_per_node);
  PlacementRecord record{
      .method = "balanced",
      .router = routing.router_name,
      .corpus = options.tokens.path,
      .corpus_digest = corpus.digest,
      .corpus_tokens = corpus.total,
      .ranks_per_node = ranks_per_node,
      .layers = {},
      .expert_counts = routed_loads(*routing.router, routing.layers, *routing.stream,
                                    routing.seq_len, routing.stream->size().value_or(0))};
  for (const auto& counts : record.expert_counts) {
    record.layers.push_back(balanced_placement(counts, nodes));
  }
  file.write(placement_text(record));
  file.commit();
  std::printf("%lld tokens, %lld experts on %lld ranks, %d node%s: %s\n",
              static_cast<long long>(corpus.total),
              static_cast<long long>(routing.config.num_experts), static_cast<long long>(ranks),
              nodes.num_nodes(), nodes.num_nodes() == 1 ? "" : "s", output.c_str());
  print_layers(record, nodes);
}

}  // namespace

int placement_command(int argc, char** argv) {
  return run_single_process([&] { make_placement_file(argc, argv); });
}

}  // namespace hashep
