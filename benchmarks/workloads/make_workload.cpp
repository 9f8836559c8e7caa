// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/workloads/make_workload.hpp"

#include <utility>
#include <vector>

#include "benchmarks/workloads/workload_stream.hpp"
#include "core/narrow.hpp"
#include "hashep/error.hpp"
#include "hashep/table_router.hpp"
#include "launch/process/source_words.hpp"
#include "runtime/layer/make_router.hpp"
#include "runtime/layer/stack_placements.hpp"
#include "runtime/tokens/routed_loads.hpp"

namespace hashep::bench {
namespace {

constexpr int64_t kDefaultSeqLen = 1024;  // tokens, as in `hashep run`

uint64_t seed_of(const WorkloadOptions& options) {
  return static_cast<uint64_t>(options.seed);
}

RouterKind router_kind(const WorkloadOptions& options) {
  if (options.router.empty()) {
    return options.table.empty() ? RouterKind::token : RouterKind::table;
  }
  return parse_router(options.router);
}

void require_table(const WorkloadOptions& options) {
  const bool by_table = router_kind(options) == RouterKind::table;
  if (by_table && options.table.empty()) throw InputError("--router table needs --table FILE");
  if (!by_table && !options.table.empty()) {
    throw InputError("--table goes with --router table, not with --router " + options.router);
  }
}

/// The words that a workload with its own ids, or with its own routing, leaves no room for.
void require_alone(const WorkloadOptions& options, const std::string& option,
                   const std::string& value, const std::string& why) {
  if (value.empty()) return;
  throw InputError(option + " does not go with --workload " + options.name + ", which " + why);
}

std::unique_ptr<TokenStream> open_stream(WorkloadKind kind, const WorkloadOptions& options) {
  if (!options.tokens.path.empty()) {
    return open_token_file(options.tokens, options.vocab_size);
  }
  return make_zipf_stream(options.vocab_size, kind == WorkloadKind::zipf ? 1.0 : 0.0,
                          seed_of(options));
}

std::unique_ptr<Router> open_router(const WorkloadOptions& options, const TokenStream& stream) {
  ModelConfig config;
  config.num_layers = options.num_layers;
  config.num_experts = options.num_experts;
  config.top_k = narrow<int>(options.top_k, "--top-k");
  config.vocab_size = options.vocab_size;
  RoutingSource source;
  source.kind = router_kind(options);
  source.seed = seed_of(options);
  source.table_path = options.table;
  return make_router(config, source, stream);
}

std::unique_ptr<Router> workload_router(const WorkloadOptions& options,
                                        const WorkloadRules& rules) {
  std::vector<RoutingTable> tables;
  for (int64_t layer = 0; layer < options.num_layers; ++layer) {
    tables.push_back(workload_table(rules, layer));
  }
  return std::make_unique<TableRouter>(std::move(tables), options.num_experts);
}

}  // namespace

WorkloadKind workload_kind(const WorkloadOptions& options) {
  const bool has_file = !options.tokens.path.empty();
  require_table(options);
  if (options.name.empty()) return has_file ? WorkloadKind::tokens : WorkloadKind::uniform;
  const WorkloadKind kind = parse_workload(options.name);
  if (kind == WorkloadKind::text) {
    if (!has_file) throw InputError("--workload " + options.name + " needs --tokens FILE");
    return kind;
  }
  require_alone(options, "--tokens", options.tokens.path, "has ids of its own");
  if (has_rules(kind)) {
    require_alone(options, "--router", options.router, "has routing of its own");
    require_alone(options, "--table", options.table, "has routing of its own");
  }
  return kind;
}

WorkloadRules workload_rules(const WorkloadOptions& options, int ep_size, int64_t tokens_per_rank) {
  return WorkloadRules({.kind = workload_kind(options),
                        .ep_size = ep_size,
                        .tokens_per_rank = tokens_per_rank,
                        .num_experts = options.num_experts,
                        .top_k = narrow<int>(options.top_k, "--top-k"),
                        .seed = seed_of(options)});
}

MadeWorkload make_workload(const WorkloadOptions& options, const NodeMap& nodes,
                           int64_t tokens_per_rank, const std::string& placement) {
  const WorkloadKind kind = workload_kind(options);
  const bool by_rules = has_rules(kind);
  const int top_k = narrow<int>(options.top_k, "--top-k");
  std::unique_ptr<TokenStream> stream;
  std::unique_ptr<Router> router;
  if (by_rules) {
    const WorkloadRules rules = workload_rules(options, nodes.ep_size(), tokens_per_rank);
    stream = make_workload_stream(rules);
    router = workload_router(options, rules);
  } else {
    stream = open_stream(kind, options);
    router = open_router(options, *stream);
  }
  const int64_t seq_len = stream->natural_seq_len().value_or(kDefaultSeqLen);
  StackGeometry geometry(
      make_placements(parse_placement(placement), *router,
                      routed_layers(options.num_layers, options.num_experts, top_k), *stream,
                      seq_len, nodes),
      top_k, nodes);
  return {
      .name = workload_name(kind),
      .router_name = std::string(router_name(by_rules ? RouterKind::table : router_kind(options))),
      .stream = std::move(stream),
      .seq_len = seq_len,
      .router = std::move(router),
      .geometry = std::move(geometry)};
}

}  // namespace hashep::bench
