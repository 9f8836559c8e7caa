// SPDX-License-Identifier: Apache-2.0
#include "hashep/checkpoint.hpp"

#include <array>
#include <bit>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "comm/agreement.hpp"
#include "comm/gather.hpp"
#include "core/atomic_file.hpp"
#include "core/format.hpp"
#include "core/strict_json.hpp"
#include "hashep/error.hpp"
#include "hashep/hash_router.hpp"
#include "hashep/table_router.hpp"
#include "hashep/version.hpp"
#include "runtime/face/stack_impl.hpp"
#include "runtime/model/model_config.hpp"
#include "runtime/model/tensor_names.hpp"
#include "runtime/routing/table_writer.hpp"
#include "runtime/train/checkpoint_files.hpp"

namespace hashep {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr const char* kTablesName = "model-tables.safetensors";

/// "model-00002-of-00004.safetensors".
std::string part_name(const char* kind, int rank, int size) {
  return format("%s-%05d-of-%05d.safetensors", kind, rank + 1, size);
}

/// The name of a parameter of a Stack in a model folder.
std::string tensor_name(const Parameter& parameter) {
  if (parameter.name == "gate") return gate_name(parameter.layer);
  if (parameter.name == "gate_bias") return gate_bias_name(parameter.layer);
  const std::string ffn = parameter.expert < 0
                              ? shared_experts_name(parameter.layer)
                              : routed_expert_name(parameter.layer, parameter.expert);
  const bool is_bias = parameter.name.starts_with("bias");
  const std::string matrix = "w" + parameter.name.substr(parameter.name.size() - 1);
  return is_bias ? bias_name(ffn, matrix) : weight_name(ffn, matrix);
}

CheckpointTensor tensor_of(std::string name, MatrixView values, bool is_vector) {
  if (is_vector) return {std::move(name), {values.cols}, values};
  return {std::move(name), {values.rows, values.cols}, values};
}

/// A rank's tensors, those of all ranks' parameters apart.
struct CheckpointTensorsOfRank {
  std::vector<CheckpointTensor> model, states;
  std::vector<CheckpointTensor> shared_model, shared_states;
};

CheckpointTensorsOfRank tensors_of(Stack& stack, AdamW& optimizer) {
  CheckpointTensorsOfRank found;
  const size_t of_stack = stack.parameters().size();
  size_t index = 0;
  for (const ParameterState& state : optimizer.states()) {
    const Parameter& parameter = state.parameter;
    const bool is_own = index++ >= of_stack;
    const std::string name = is_own ? parameter.name : tensor_name(parameter);
    if (is_own && name.starts_with("layers.")) {
      throw InputError("parameter " + name + ": names beginning with layers. are the Stack's");
    }
    const bool is_vector = parameter.name.starts_with("bias") || parameter.name == "gate_bias";
    const bool is_shared = parameter.expert < 0;
    (is_shared ? found.shared_model : found.model)
        .push_back(tensor_of(name, parameter.value, is_vector));
    auto& states = is_shared ? found.shared_states : found.states;
    states.push_back(tensor_of(name + ".first_moment", state.first_moment, is_vector));
    states.push_back(tensor_of(name + ".second_moment", state.second_moment, is_vector));
  }
  return found;
}

/// What training must go on with.
std::string routing_text(const StackShape& shape, const Router& router) {
  std::string text = "router " + std::to_string(router.digest());
  if (shape.gate) {
    text += ", " + std::string(gate_kind_name(shape.gate->kind)) + " from layer " +
            std::to_string(shape.gate->first_layer);
  }
  return text + ", score " + std::string(score_name(shape.score)) + " times " +
         std::to_string(std::bit_cast<uint32_t>(shape.routed_scaling_factor)) + ", top " +
         std::to_string(shape.top_k) + " of " + std::to_string(shape.num_experts) + ", " +
         std::string(activation_name(shape.activation)) + ", limit " +
         std::to_string(std::bit_cast<uint32_t>(shape.swiglu_limit));
}

const char* feature_name(HashFeature feature) {
  switch (feature) {
    case HashFeature::token:
      return "token";
    case HashFeature::position:
      return "position";
    case HashFeature::previous:
      return "previous";
    case HashFeature::bigram:
      return "bigram";
  }
  return "";
}

/// Writes what a checkpoint has once: config.json, tables, the index.
class ModelFolderWriter {
 public:
  ModelFolderWriter(std::string folder, const StackShape& shape, const Router& router,
                    const CheckpointOptions& options)
      : folder_(std::move(folder)), shape_(shape), router_(router), options_(options) {}

  /// weight_map: files by tensor. Returns the files that were written.
  std::vector<std::string> write(std::map<std::string, std::string> weight_map) {
    std::vector<std::string> files = {"config.json", kIndexName};
    nlohmann::ordered_json config = sizes();
    if (const auto* hash = dynamic_cast<const HashRouter*>(&router_)) {
      config["vocab_size"] = hash->config().vocab_size;
      config["hashep"] = {{"router", feature_name(hash->config().feature)},
                          {"seed", hash->config().seed}};
    } else if (const auto* tables = dynamic_cast<const TableRouter*>(&router_)) {
      config["vocab_size"] = tables->table(0).vocab_size;
      config["hashep"] = {{"spread", tables->table(0).spread.has_value()}};
      write_tables(*tables, weight_map);
      files.emplace_back(kTablesName);
    } else {
      config["vocab_size"] = options_.vocab_size;
      // A router of the caller's own is one that nobody else has.
      if (shape_.num_routed_layers() > 0) config["hashep"] = {{"router", "the program's own"}};
    }
    if (options_.vocab_size > 0) config["vocab_size"] = options_.vocab_size;
    const nlohmann::json index = {{"metadata", nlohmann::json::object()},
                                  {"weight_map", weight_map}};
    write_text("config.json", config.dump(1) + "\n");
    write_text(kIndexName, index.dump(1) + "\n");
    return files;
  }

 private:
  void write_text(const std::string& name, const std::string& text) const {
    write_file_atomically((fs::path(folder_) / name).string(), text);
  }

  nlohmann::ordered_json sizes() const {
    const bool is_softmax = shape_.gate && shape_.gate->kind == GateKind::softmax_top_k;
    nlohmann::ordered_json config;
    config["num_hidden_layers"] = shape_.num_layers;
    config["num_hash_layers"] = shape_.num_routed_layers();
    config["hidden_size"] = shape_.hidden_size;
    config["moe_intermediate_size"] = shape_.ffn_size;
    config["n_routed_experts"] = shape_.num_experts;
    config["num_experts_per_tok"] = shape_.top_k;
    config["n_shared_experts"] = shape_.num_shared_experts;
    config["hidden_act"] = activation_name(shape_.activation);
    config["swiglu_limit"] = shape_.swiglu_limit;
    config["scoring_func"] = is_softmax ? "softmax" : score_name(shape_.score);
    if (shape_.gate) config["topk_method"] = is_softmax ? "greedy" : "noaux_tc";
    config["routed_scaling_factor"] = shape_.routed_scaling_factor;
    config["norm_topk_prob"] = !(is_softmax && shape_.top_k == 1);
    return config;
  }

  void write_tables(const TableRouter& router, std::map<std::string, std::string>& weight_map) {
    std::vector<NamedTable> tables;
    for (int64_t layer = 0; layer < shape_.num_routed_layers(); ++layer) {
      tables.push_back({layer_table_name(layer), router.table(layer)});
    }
    const std::string path = (fs::path(folder_) / kTablesName).string();
    save_tables(path, tables, {}, DType::i32);
    const SafeTensorsFile written(path);
    for (const auto& [name, tensor] : written.contents().tensors) {
      weight_map[name] = kTablesName;
    }
  }

  std::string folder_;
  const StackShape& shape_;
  const Router& router_;
  const CheckpointOptions& options_;
};

std::string program_of(const CheckpointOptions& options) {
  if (options.program.empty()) return "{}";
  parse_json_object(options.program, "CheckpointOptions::program");  // throws
  return options.program;
}

/// Which file each tensor of the model is in.
std::map<std::string, std::string> weight_map_of(const std::string& folder, int size) {
  std::map<std::string, std::string> weight_map;
  for (int rank = 0; rank < size; ++rank) {
    const std::string name = part_name("model", rank, size);
    const SafeTensorsFile part((fs::path(folder) / name).string());
    for (const auto& [tensor, place] : part.contents().tensors) {
      weight_map[tensor] = name;
    }
  }
  return weight_map;
}

}  // namespace

void save_checkpoint(Stack& stack, AdamW& optimizer, const std::string& folder,
                     const CheckpointOptions& options) {
  Stack::Impl& impl = *stack.impl();
  Context::Impl& context = impl.context();
  const Communicator& comm = context.comm();
  Watch& watch = context.watch();
  const int64_t steps = optimizer.steps();
  CheckpointFolder place(folder);
  const std::string temporary = place.temporary(steps);
  context.in_step([&] {
    watch.at({Phase::output, -1, -1});
    agree(comm, watch, [&] {
      if (options.keep_last < 1) {
        throw InputError("keep_last: " + std::to_string(options.keep_last) + " is below 1");
      }
      program_of(options);
      if (comm.rank() == 0) place.begin(steps);
    });
    CheckpointTensorsOfRank tensors;
    std::array<CheckpointFile, 2> written;
    agree(comm, watch, [&] {
      tensors = tensors_of(stack, optimizer);
      std::vector<CheckpointTensor> model = tensors.model;
      std::vector<CheckpointTensor> states = tensors.states;
      if (comm.rank() == 0) {
        model.insert(model.end(), tensors.shared_model.begin(), tensors.shared_model.end());
        states.insert(states.end(), tensors.shared_states.begin(), tensors.shared_states.end());
      }
      written = {
          write_checkpoint_tensors(temporary, part_name("model", comm.rank(), comm.size()), model),
          write_checkpoint_tensors(temporary, part_name("optimizer", comm.rank(), comm.size()),
                                   states)};
    });
    const std::array<int64_t, 4> own = {written[0].bytes, std::bit_cast<int64_t>(written[0].digest),
                                        written[1].bytes,
                                        std::bit_cast<int64_t>(written[1].digest)};
    const std::vector<int64_t> all = gather_words(comm, watch, own);
    agree(comm, watch, [&] {
      if (comm.rank() != 0) return;
      CheckpointState state{.steps = steps,
                            .ep_size = comm.size(),
                            .version = std::string(version()),
                            .routing = routing_text(stack.shape(), impl.router()),
                            .program = program_of(options),
                            .files = {}};
      for (int rank = 0; rank < comm.size(); ++rank) {
        const int64_t* const words = all.data() + static_cast<size_t>(rank) * own.size();
        state.files.push_back(
            {part_name("model", rank, comm.size()), words[0], std::bit_cast<uint64_t>(words[1])});
        state.files.push_back({part_name("optimizer", rank, comm.size()), words[2],
                               std::bit_cast<uint64_t>(words[3])});
      }
      ModelFolderWriter model(temporary, stack.shape(), impl.router(), options);
      for (const std::string& name : model.write(weight_map_of(temporary, comm.size()))) {
        state.files.push_back(read_checkpoint_file(temporary, name));
      }
      write_checkpoint_state(temporary, state);
      place.commit(steps, options.keep_last);
    });
  });
}

LoadedCheckpoint load_checkpoint(Stack& stack, AdamW& optimizer, const std::string& path) {
  Stack::Impl& impl = *stack.impl();
  Context::Impl& context = impl.context();
  const Communicator& comm = context.comm();
  Watch& watch = context.watch();
  LoadedCheckpoint loaded;
  context.in_step([&] {
    watch.at({Phase::setup, -1, -1});
    CheckpointState state;
    agree(comm, watch, [&] {
      loaded.path = find_checkpoint(path);
      state = read_checkpoint_state(loaded.path);
      const std::string routing = routing_text(stack.shape(), impl.router());
      if (state.routing != routing) {
        throw InputError(loaded.path + ": was trained with " + state.routing + ", not with " +
                         routing);
      }
      // Each file is looked at by one rank.
      for (size_t i = static_cast<size_t>(comm.rank()); i < state.files.size();
           i += static_cast<size_t>(comm.size())) {
        watch.check_in();
        require_checkpoint_file(loaded.path, state.files[i]);
      }
    });
    require_same_settings(
        comm, watch, {{"the checkpoint", loaded.path + ", step " + std::to_string(state.steps)}});
    agree(comm, watch, [&] {
      const CheckpointTensors files(loaded.path, state);
      const CheckpointTensorsOfRank tensors = tensors_of(stack, optimizer);
      for (const auto* group :
           {&tensors.model, &tensors.states, &tensors.shared_model, &tensors.shared_states}) {
        for (const CheckpointTensor& tensor : *group) {
          watch.check_in();
          files.read(tensor);
        }
      }
    });
    loaded.steps = state.steps;
    loaded.program = state.program;
  });
  stack.pack_parameters();
  optimizer.set_steps(loaded.steps);
  return loaded;
}

}  // namespace hashep
