// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/workloads/make_workload.hpp"

#include "core/error.hpp"
#include "core/narrow.hpp"
#include "runtime/exec/stack_routing.hpp"

namespace hashep::bench {
namespace {

constexpr int64_t kDefaultSeqLen = 1024;  // tokens, as in `hashep run`

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

std::unique_ptr<TokenStream> open_stream(WorkloadKind kind, const WorkloadOptions& options) {
  if (!options.tokens.path.empty()) return open_token_file(options.tokens);
  return make_zipf_stream(options.vocab_size, kind == WorkloadKind::zipf ? 1.0 : 0.0, options.seed);
}

std::vector<std::unique_ptr<Router>> open_routers(const WorkloadOptions& options,
                                                  const TokenStream& stream) {
  ModelConfig config;
  config.num_layers = options.num_layers;
  config.num_experts = options.num_experts;
  config.top_k = narrow<int>(options.top_k, "--top-k");
  config.vocab_size = options.vocab_size;
  RoutingSource source;
  source.kind = router_kind(options);
  source.seed = options.seed;
  source.table_path = options.table;
  return make_routers(config, source, stream);
}

}  // namespace

WorkloadKind workload_kind(const WorkloadOptions& options) {
  const bool has_file = !options.tokens.path.empty();
  require_table(options);
  if (options.name.empty()) return has_file ? WorkloadKind::tokens : WorkloadKind::uniform;
  const WorkloadKind kind = parse_workload(options.name);
  if (kind == WorkloadKind::text && !has_file) {
    throw InputError("--workload " + options.name + " needs --tokens FILE");
  }
  if (kind != WorkloadKind::text && has_file) {
    throw InputError("--tokens does not go with --workload " + options.name +
                     ", which has ids of its own");
  }
  return kind;
}

MadeWorkload make_workload(const WorkloadOptions& options, const NodeMap& nodes,
                           int64_t tokens_per_rank) {
  const WorkloadKind kind = workload_kind(options);
  (void)tokens_per_rank;
  MadeWorkload made;
  made.name = workload_name(kind);
  made.router = router_name(router_kind(options));
  made.stream = open_stream(kind, options);
  made.seq_len = made.stream->natural_seq_len().value_or(kDefaultSeqLen);
  made.routing.routers = open_routers(options, *made.stream);
  made.routing.placements = make_placements(PlacementKind::contiguous, made.routing.routers,
                                            *made.stream, made.seq_len, nodes.ep_size());
  made.routing.nodes = nodes;
  return made;
}

}  // namespace hashep::bench
