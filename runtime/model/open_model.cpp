// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "core/quote.hpp"
#include "hashep/error.hpp"
#include "hashep/hash_router.hpp"
#include "hashep/model.hpp"
#include "hashep/table_router.hpp"
#include "runtime/model/model_folder.hpp"

namespace hashep {
namespace {

std::shared_ptr<const Router> router_of(const ModelFolder& folder, const std::string& path) {
  const ModelConfig& config = folder.config();
  if (config.shape().num_routed_layers() == 0) return nullptr;
  switch (config.router) {
    case RouterKind::table: {
      std::vector<RoutingTable> tables;
      for (int64_t layer = 0; layer < config.shape().num_routed_layers(); ++layer) {
        tables.push_back(folder.table(layer));
      }
      return std::make_shared<TableRouter>(std::move(tables), config.num_experts);
    }
    case RouterKind::balanced:
      throw InputError(path +
                       ": its router follows from counts of a corpus; a table of its own "
                       "says which");
    default:
      return std::make_shared<HashRouter>(HashRouterConfig{.vocab_size = config.vocab_size,
                                                           .seed = config.router_seed,
                                                           .feature = hash_feature(config.router)});
  }
}

}  // namespace

Model open_model(const std::string& path, const ModelOptions& options) {
  auto folder = std::make_shared<ModelFolder>(path, ModelParts::all, options.layers);
  if (!options.accept_unused && !folder->unused_tensors().empty()) {
    throw InputError(path + ": config.json leaves tensors of the " +
                     (options.layers == ModelLayers::hash ? "hash-routed " : "") +
                     "layers unused: " + quote(folder->unused_tensors().front()));
  }
  return {.shape = folder->config().shape(),
          .vocab_size = folder->config().vocab_size,
          .router = router_of(*folder, path),
          .weights = folder,
          .unused_tensors = folder->unused_tensors()};
}

}  // namespace hashep
