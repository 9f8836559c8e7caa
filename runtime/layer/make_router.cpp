// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/make_router.hpp"

#include <xxhash.h>

#include <algorithm>

#include "core/setting.hpp"
#include "hashep/error.hpp"
#include "hashep/hash_router.hpp"
#include "hashep/table_router.hpp"
#include "runtime/layer/stack_placements.hpp"
#include "runtime/routing/no_router.hpp"
#include "runtime/tables/targeted_table.hpp"

namespace hashep {
namespace {

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

std::unique_ptr<Router> make_router(const ModelConfig& config, const RoutingSource& source,
                                    const TokenStream& stream) {
  const int64_t num_layers = config.shape().num_routed_layers();
  if (num_layers == 0) return std::make_unique<NoRouter>();
  std::vector<RoutingTable> tables;
  switch (source.kind) {
    case RouterKind::table:
      for (int64_t layer = 0; layer < num_layers; ++layer) {
        tables.push_back(read_table(config, source, layer));
      }
      return std::make_unique<TableRouter>(std::move(tables), config.num_experts);
    case RouterKind::balanced:
      tables.push_back(balanced_table(config, source.seed, stream));
      return std::make_unique<TableRouter>(std::move(tables), config.num_experts);
    default:
      return std::make_unique<HashRouter>(HashRouterConfig{.vocab_size = config.vocab_size,
                                                           .seed = source.seed,
                                                           .feature = hash_feature(source.kind)});
  }
}

uint64_t id_digest(const TokenStream& stream, int64_t limit) {
  std::vector<int32_t> ids(std::min(limit, kCountedTokens));
  stream.read(0, ids);
  return XXH64(ids.data(), ids.size() * sizeof(ids[0]), 0);
}

}  // namespace hashep
