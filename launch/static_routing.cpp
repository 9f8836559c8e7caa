// SPDX-License-Identifier: Apache-2.0
#include "launch/static_routing.hpp"

#include <optional>

#include "launch/process/result_json.hpp"
#include "runtime/model/model_folder.hpp"
#include "runtime/model/model_tables.hpp"
#include "runtime/tokens/routed_loads.hpp"

namespace hashep {

void declare_static_routing(CLI::App& app, RoutingOptions& options) {
  app.option_defaults()->always_capture_default();
  OptionTable table(app);
  table.begin_group("Model");
  describe_model(table, options);
  app.get_option("--model")->description(
      "Folder with config.json and, for table routing, tid2eid tensors in *.safetensors; no "
      "weights are needed");
  table.begin_group(kSyntheticModel);
  describe_sizes(table, options);
  table.begin_group("Routing");
  describe_router(table, options);
  app.get_option("--seed")->description("Seed of router and tokens");
  table.begin_group("Tokens");
  describe_tokens(table, options);
}

StaticRouting open_static_routing(const CLI::App& app, const RoutingOptions& options) {
  require_routing(app, options);
  StaticRouting routing;
  routing.config =
      options.model.empty() ? synthetic_model(options) : read_model_config(options.model);
  RoutingSource source = routing_source(options, routing.config, app.count("--seed") > 0);
  std::optional<ModelFolder> folder;
  if (!options.model.empty() && source.kind == RouterKind::table && options.table.empty()) {
    folder.emplace(options.model, ModelParts::tables);
    source.folder = &*folder;
  }
  routing.router_name = router_name(source.kind);
  routing.stream = open_tokens(options, routing.config.vocab_size);
  routing.seq_len = sequence_length(options, *routing.stream);
  routing.router = make_router(routing.config, source, *routing.stream);
  routing.layers =
      routed_layers(routing.config.num_layers, routing.config.num_experts, routing.config.top_k);
  return routing;
}

}  // namespace hashep
