// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/model_tables.hpp"

#include <filesystem>
#include <system_error>

#include "core/strict_json.hpp"
#include "hashep/error.hpp"
#include "runtime/model/tensor_names.hpp"
#include "runtime/routing/spread_tensors.hpp"
#include "runtime/routing/table_file.hpp"

namespace hashep {
namespace {

namespace fs = std::filesystem;

bool has_spread_tensors(const ModelFiles& files, int64_t layer) {
  const SpreadTensorNames names = spread_tensor_names(table_name(layer));
  return files.find(names.ids) || files.find(names.offsets) || files.find(names.rows);
}

SpreadTensors read_spread_tensors(const ModelFiles& files, int64_t layer) {
  const auto tensor_of = [&](const std::string& name) -> std::optional<TensorContents> {
    const std::optional<TensorPlace> place = files.find(name);
    return place ? std::optional(place->file->read(place->name)) : std::nullopt;
  };
  const SpreadTensorNames names = spread_tensor_names(table_name(layer));
  return {tensor_of(names.ids), tensor_of(names.offsets), tensor_of(names.rows)};
}

}  // namespace

ConfigFile read_config_file(const std::string& folder, ModelLayers layers) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) throw InputError(folder + ": not a folder");
  const std::string path = (fs::path(folder) / "config.json").string();
  return config_of(read_json_object(path), path, layers);
}

ModelConfig read_model_config(const std::string& folder) {
  return read_config_file(folder, ModelLayers::hash).model;
}

const SafeTensor& model_table_tensor(const ModelFiles& files, const ModelConfig& config,
                                     int64_t layer) {
  const TensorPlace place = files.at(table_name(layer));
  const SafeTensor& tensor = place.file->at(place.name);
  if (tensor.dtype != DType::i32 && tensor.dtype != DType::i64) {
    throw InputError(place.text() + ": dtype " + std::string(dtype_name(tensor.dtype)) +
                     ", expected i32 or i64");
  }
  tensor.require_matrix(config.vocab_size, config.top_k, place.text());
  if (tensor.shape.size() != 2) throw InputError(place.text() + ": not a 2-D tensor");
  require_spread(config, has_spread_tensors(files, layer), place.text());
  return tensor;
}

RoutingTable read_model_table(const ModelFiles& files, const ModelConfig& config, int64_t layer) {
  model_table_tensor(files, config, layer);  // throws where it is not as it should be
  const TensorPlace place = files.at(table_name(layer));
  const std::string source = place.text();
  RoutingTable table = table_from_tensor(place.file->read(place.name), config.num_experts, source);
  table.spread = read_spread_rows(read_spread_tensors(files, layer), table.top_k, source);
  if (table.spread) {
    table.spread->seed = static_cast<uint64_t>(layer);
    validate_table(table, config.num_experts, source);
  }
  return table;
}

TableSet load_model_tables(const std::string& folder, std::optional<int64_t> num_experts) {
  ModelConfig config = read_model_config(folder);
  config.num_experts = num_experts.value_or(config.num_experts);
  const ModelFiles files(folder, config.num_layers);
  TableSet set;
  set.metadata["num_experts"] = std::to_string(config.num_experts);
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    if (model_table_tensor(files, config, layer).dtype == DType::i64) set.dtype = DType::i64;
    set.tables.push_back({table_name(layer), read_model_table(files, config, layer)});
  }
  return set;
}

}  // namespace hashep
