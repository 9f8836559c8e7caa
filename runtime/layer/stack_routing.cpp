// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/stack_routing.hpp"

#include <xxhash.h>

#include <algorithm>
#include <array>

#include "core/setting.hpp"
#include "hashep/error.hpp"
#include "hashep/hash_router.hpp"
#include "hashep/table_router.hpp"
#include "runtime/tables/targeted_table.hpp"

namespace hashep {
namespace {

HashFeature hash_feature(RouterKind kind) {
  switch (kind) {
    case RouterKind::position:
      return HashFeature::position;
    case RouterKind::previous:
      return HashFeature::previous;
    case RouterKind::bigram:
      return HashFeature::bigram;
    default:
      return HashFeature::token;
  }
}

int64_t counted_tokens(const TokenStream& stream) {
  return std::min(stream.size().value_or(kCountedTokens), kCountedTokens);
}

/// What `hashep table build --method balanced` makes of the same counts and seed.
RoutingTable balanced_table(const ModelConfig& config, uint64_t seed, const TokenStream& stream) {
  const auto counts = count_ids(stream, config.vocab_size, counted_tokens(stream));
  return build_targeted_table(counts, contiguous_placement(config.num_experts, 1), config.top_k,
                              BalanceTarget::expert, seed);
}

/// The table of one layer: from a file of its own, or from the model folder.
RoutingTable read_table(const ModelConfig& config, const RoutingSource& source, int64_t layer) {
  RoutingTable table;
  std::string name = source.table_path;
  if (!source.table_path.empty()) {
    table = load_layer_table(source.table_path, layer, config.num_experts);
  } else if (source.folder != nullptr) {
    table = source.folder->table(layer);
    name = "tid2eid of layer " + std::to_string(layer);
  } else {
    throw InputError(setting("router") + " table needs " + setting("table") + " FILE or a " +
                     setting("model") + " folder with tables");
  }
  if (source.folder != nullptr) require_spread(config, table.spread.has_value(), name);
  if (table.vocab_size != config.vocab_size || table.top_k != config.top_k) {
    throw InputError(name + ": the table is [" + std::to_string(table.vocab_size) + ", " +
                     std::to_string(table.top_k) + "], the model needs [" +
                     std::to_string(config.vocab_size) + ", " + std::to_string(config.top_k) + "]");
  }
  return table;
}

}  // namespace

std::vector<std::unique_ptr<Router>> make_routers(const ModelConfig& config,
                                                  const RoutingSource& source,
                                                  const TokenStream& stream) {
  std::vector<std::unique_ptr<Router>> routers;
  RoutingTable balanced;
  if (source.kind == RouterKind::balanced) balanced = balanced_table(config, source.seed, stream);
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    switch (source.kind) {
      case RouterKind::table:
        routers.push_back(
            std::make_unique<TableRouter>(read_table(config, source, layer), config.num_experts));
        break;
      case RouterKind::balanced:
        routers.push_back(std::make_unique<TableRouter>(balanced, config.num_experts));
        break;
      default:
        routers.push_back(std::make_unique<HashRouter>(
            HashRouterConfig{.feature = hash_feature(source.kind),
                             .seed = source.seed + static_cast<uint64_t>(layer),
                             .num_experts = config.num_experts,
                             .top_k = config.top_k,
                             .vocab_size = config.vocab_size}));
    }
  }
  return routers;
}

uint64_t id_digest(const TokenStream& stream, int64_t limit) {
  std::vector<int32_t> ids(static_cast<size_t>(std::min(limit, kCountedTokens)));
  stream.read(0, ids);
  return XXH64(ids.data(), ids.size() * sizeof(ids[0]), 0);
}

uint64_t table_digest(const std::vector<std::unique_ptr<Router>>& routers) {
  uint64_t digest = 0;
  const auto add = [&](const auto& values) {
    digest = XXH64(values.data(), values.size() * sizeof(values[0]), digest);
  };
  for (const auto& router : routers) {
    const auto* by_table = dynamic_cast<const TableRouter*>(router.get());
    if (by_table == nullptr) continue;
    const RoutingTable& table = by_table->table();
    add(table.experts);
    if (!table.spread) continue;
    add(table.spread->ids);
    add(table.spread->offsets);
    add(table.spread->experts);
    add(std::array{table.spread->seed});
  }
  return digest;
}

}  // namespace hashep
