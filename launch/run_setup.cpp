// SPDX-License-Identifier: Apache-2.0
#include "launch/run_setup.hpp"

#include <algorithm>
#include <utility>

#include "comm/core_share.hpp"
#include "core/narrow.hpp"
#include "core/quote.hpp"
#include "launch/hidden_states.hpp"
#include "launch/process/option_table.hpp"
#include "runtime/layer/host_stack_runner.hpp"
#include "runtime/layer/stack_placements.hpp"
#include "runtime/layer/weight_agreement.hpp"
#include "runtime/model/model_folder.hpp"
#include "runtime/model/require_finite.hpp"
#include "runtime/model/synthetic_weights.hpp"

namespace hashep {
namespace {

constexpr int64_t kReadBytes = int64_t{64} << 20;

ModelConfig synthetic_config(const RunOptions& options) {
  ModelConfig config = synthetic_model(options);
  validate_config(config, "hashep run");
  return config;
}

std::string gate_text(const ModelConfig& config) {
  return std::string(gate_kind_name(config.gate->kind)) + " from layer " +
         std::to_string(config.gate->first_layer);
}

std::string static_routing_text(const RoutingSource& source) {
  const bool is_table = source.kind == RouterKind::table;
  if (is_table && source.table_path.empty()) return "the folder's tid2eid";
  const bool is_in_place =
      source.folder != nullptr && source.folder->config().router == RouterKind::table;
  return (is_table ? "--table " + quote(source.table_path)
                   : "router " + std::string(router_name(source.kind))) +
         (is_in_place ? ", not the folder's tid2eid" : "");
}

/// What gives a token its experts.
std::string routing_text(const RoutingSource& source, const ModelConfig& config) {
  if (config.num_experts == 0) return "none: layers are dense";
  if (config.gate && config.gate->first_layer == 0) return gate_text(config);
  return static_routing_text(source) + (config.gate ? "; " + gate_text(config) : "");
}

/// "experts fp4, shared experts fp8".
std::string weights_text(const WeightTypes& types) {
  const auto listed = [](const std::set<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : " and ") + name;
    return text;
  };
  std::string text;
  if (!types.routed.empty()) text = "experts " + listed(types.routed);
  if (!types.shared.empty()) {
    text += (text.empty() ? "" : ", ") + std::string("shared experts ") + listed(types.shared);
  }
  return text;
}

/// How quantised weights will stand in memory: "packed" or "expanded"; empty where there are none.
std::string weight_form_text(const RunOptions& options, const WeightTypes& types, Device device) {
  const bool wants_packed = options.weight_form == WeightForm::packed;
  if (!types.are_quantised()) {
    if (wants_packed) {
      throw InputError("--weights packed: " + options.model + " has no quantised weights");
    }
    return "";
  }
  if (wants_packed && device == Device::cuda) {
    throw InputError("--weights packed is for experts on CPUs");
  }
  if (wants_packed && !types.can_stay_packed) {
    throw InputError("--weights packed: " + options.model +
                     " has scales of blocks that are no multiple of 8 inputs");
  }
  const bool is_packed =
      options.weight_form != WeightForm::expanded && types.can_stay_packed && device == Device::cpu;
  return is_packed ? "packed" : "expanded";
}

/// Model, tokens and routers: all that is read from files but the weights. Local.
void read_inputs(const RunOptions& options, const Communicator& comm, RunSetup& setup) {
  setup.dtype = options.dtype;
  setup.residual = options.residual;
  setup.steps = options.output.empty() ? options.steps : 1;

  const auto seed = static_cast<uint64_t>(options.seed);
  ModelFolder* opened = nullptr;
  if (options.model.empty()) {
    setup.config = synthetic_config(options);
    setup.weights = make_synthetic_weights(setup.config, setup.dtype, seed);
  } else {
    auto folder = std::make_unique<ModelFolder>(options.model, ModelParts::all, options.layers);
    setup.config = folder->config();
    setup.model.folder = options.model;
    setup.model.unused = folder->unused_tensors();
    setup.weight_types = folder->weight_types();
    setup.model.weights = weights_text(setup.weight_types);
    if (!folder->weight_types().are_quantised()) setup.model.ignored = folder->quantised_keys();
    require_all_used(setup.model, options.accept_unused);
    opened = folder.get();
    setup.weights = std::move(folder);
  }
  RoutingSource source = routing_source(options, setup.config, options.is_given("--seed"));
  source.folder = opened;
  setup.model.config = setup.config;
  setup.model.routing = routing_text(source, setup.config);

  setup.stream = open_tokens(options, setup.config.vocab_size);
  if (const auto size = setup.stream->size()) {
    setup.token_digest =
        id_digest(*setup.stream, std::min(*size, options.batch_tokens * setup.steps));
  }
  setup.split = {.batch_tokens = options.batch_tokens,
                 .seq_len = sequence_length(options, *setup.stream),
                 .ep_size = comm.size(),
                 .ep_rank = comm.rank()};
  setup.router = make_router(setup.config, source, *setup.stream);
  setup.placements = place_experts(options.placement, setup.config, *setup.router, *setup.stream,
                                   setup.split.seq_len, setup.topology->nodes);
}

/// What files hold must be the same on all ranks too.
std::vector<Setting> content_settings(const RunSetup& setup) {
  const ModelConfig& config = setup.config;
  const std::string sizes =
      std::to_string(config.num_layers) + " layers, d " + std::to_string(config.hidden_size) +
      ", f " + std::to_string(config.ffn_size) + ", " + std::to_string(config.num_experts) +
      " experts, top " + std::to_string(config.top_k) + ", " +
      std::to_string(config.num_shared_experts) + " shared, vocab_size " +
      std::to_string(config.vocab_size);
  const auto digest = [](uint64_t value) { return "digest " + std::to_string(value); };
  return {{"the model's sizes", sizes},
          {"the model's hidden_act", std::string(activation_name(config.activation))},
          {"the model's swiglu_limit", exact_text(config.swiglu_limit)},
          {"the model's scoring_func", std::string(score_name(config.score))},
          {"the model's routed_scaling_factor", exact_text(config.routed_scaling_factor)},
          {"the model's router", std::string(router_name(config.router))},
          {"the model's gate", config.gate ? gate_text(config) : "none"},
          {"the model's seed", std::to_string(config.router_seed)},
          {"the weights' shapes", digest(setup.weights->shape_digest())},
          {"the routing table", digest(setup.router->digest())},
          {"the placement", digest(placement_digest(setup.placements))},
          {"the length of the token file",
           std::to_string(setup.stream->size().value_or(-1)) + " tokens"},
          {"the token ids", digest(setup.token_digest)},
          {"the sequence length", std::to_string(setup.split.seq_len)}};
}

void open_results(const RunOptions& options, RunSetup& setup) {
  if (!options.json.empty()) setup.json.emplace(options.json);
  if (!options.trace.empty()) setup.trace.emplace(options.trace);
}

void read_hidden_states(const RunOptions& options, Watch& watch, RunSetup& setup) {
  const Range rows = setup.rows();
  setup.input.reserve(rows.size() * setup.config.hidden_size * dtype_size(setup.dtype));
  // In pieces, with signs of life between them.
  const int64_t piece = std::max<int64_t>(1, kReadBytes / setup.input_rows().row_bytes());
  for (int64_t first = 0; first < rows.size(); first += piece) {
    watch.check_in();
    const Range part = {rows.begin + first, std::min(rows.begin + first + piece, rows.end)};
    const MatrixView out = setup.input_rows().slice(first, part.size());
    if (options.hidden.empty()) {
      make_hidden_states(static_cast<uint64_t>(options.seed), part, out);
    } else {
      load_hidden_states(options.hidden, options.batch_tokens, part, out);
    }
  }
  if (options.hidden.empty()) return;
  setup.hidden_digest = hidden_states_digest(options.hidden);
  if (options.check) {
    require_finite(
        setup.input_rows(),
        options.hidden + ": hidden_states (in " + std::string(dtype_name(options.dtype)) + ")",
        setup.dtype, rows.begin);
  }
}

/// `counts_nodes`: the transport carries a row to a node once.
void make_geometry(bool counts_nodes, bool node_reduce, RunSetup& setup) {
  setup.geometry.emplace(
      std::move(setup.placements), setup.config.top_k,
      counts_nodes ? std::optional(setup.topology->nodes) : std::nullopt, node_reduce,
      setup.config.gate ? setup.config.num_layers - setup.config.gate->first_layer : 0);
}

/// Collective.
void make_host_stack(const RunOptions& options, const Communicator& comm, Watch& watch,
                     RunSetup& setup) {
  auto transport =
      make_transport(options.transport, comm, *setup.topology, watch, setup.threads.threads);
  const bool is_hier =
      resolve_transport(options.transport, setup.topology->nodes) == TransportKind::hier;
  agree(comm, watch, [&] {
    make_geometry(is_hier, is_hier && options.node_reduce, setup);
    const ExecOptions exec{.dtype = setup.dtype,
                           .threads = setup.threads.threads,
                           .overlap = options.overlap,
                           .check_finite = options.check,
                           .digests = &setup.weight_digests,
                           .watch = &watch,
                           .gemm_library = options.gemm_library,
                           .weight_form = options.weight_form,
                           .weight_memory = options.weight_memory,
                           .weight_lookahead = options.plan_depth / 2,
                           .weights_ahead = options.weights_ahead};
    auto runner = std::make_unique<HostStackRunner>(setup.config, *setup.weights,
                                                    setup.geometry->placements(), comm.rank(),
                                                    setup.residual, exec, std::move(transport));
    runner->prepare_kernels(setup.split.batch_tokens);
    runner->set_input(setup.input_rows());
    setup.runner = std::move(runner);
  });
  if (!setup.config.gate) return;
  static_cast<HostStackRunner&>(*setup.runner)
      .plan_gates_with(
          std::make_unique<LayerPlanner>(*setup.geometry, JobRanks{comm, *setup.topology, watch}));
}

/// Collective.
void make_gpu_stack(const RunOptions& options, const Communicator& comm, Watch& watch,
                    RunSetup& setup) {
  const GpuRunOptions gpu{.gpu = setup.device.gpu,
                          .dtype = setup.dtype,
                          .residual = setup.residual,
                          .transport = options.transport,
                          .share_gpu = options.share_gpu,
                          .landing = options.landing,
                          .overlap = options.overlap,
                          .graph = options.graph,
                          .expert_gemm = options.expert_gemm,
                          .check_finite = options.check,
                          .digests = &setup.weight_digests};
  auto transport = make_device_transport(gpu, comm, *setup.topology, watch);
  const bool is_hier = transport->name() == "hier";
  agree(comm, watch, [&] {
    if (options.node_reduce) throw InputError("--node-reduce is for ranks on CPUs");
    if (options.weight_memory > 0) throw InputError("--weight-memory is for ranks on CPUs");
    if (setup.config.gate || setup.config.num_experts == 0) {
      throw InputError("layers with a learned gate, and dense ones, run on CPUs: --device cpu");
    }
    make_geometry(is_hier, false, setup);
    setup.runner = make_gpu_runner(setup.config, *setup.weights, setup.geometry->placements(), gpu,
                                   std::move(transport), watch);
    setup.runner->set_input(setup.input_rows());
  });
}

}  // namespace

RunSetup set_up_run(const RunOptions& options, const Communicator& comm, Watch& watch) {
  watch.allow_setup(options.setup_deadline);
  require_same_settings(comm, watch, options.settings);
  RunSetup setup;
  setup.topology = std::make_unique<Topology>(find_topology(comm, watch));
  const NodeMap& nodes = setup.topology->nodes;
  agree(comm, watch, [&] {
    read_inputs(options, comm, setup);
    if (comm.rank() == 0) open_results(options, setup);
  });
  if (!options.output.empty()) {
    setup.output = std::make_unique<SharedFile>(comm, nodes, watch, options.output);
  }
  require_same_settings(comm, watch, content_settings(setup));

  // Before threads are made, and before they are counted.
  setup.device = set_up_device(options, comm, *setup.topology, watch);
  setup.threads =
      choose_threads(options.threads, "--threads", find_core_share(setup.topology->node, watch));
  agree(comm, watch, [&] {
    if (setup.device.choice.device == Device::cpu) resolve_transport(options.transport, nodes);
    setup.model.weight_form =
        weight_form_text(options, setup.weight_types, setup.device.choice.device);
  });
  agree(comm, watch, [&] { read_hidden_states(options, watch, setup); });
  setup.weight_digests.layers.resize(setup.config.num_layers);
  if (setup.device.choice.device == Device::cuda) {
    make_gpu_stack(options, comm, watch, setup);
  } else {
    make_host_stack(options, comm, watch, setup);
  }
  std::vector<Setting> read = weight_settings(setup.config, setup.weight_digests);
  read.emplace_back("the hidden states of --hidden",
                    "digest " + std::to_string(setup.hidden_digest));
  require_same_settings(comm, watch, read);
  require_same_experts(comm, watch, *setup.weights, setup.geometry->placements(), nodes,
                       setup.weight_digests);
  return setup;
}

}  // namespace hashep
