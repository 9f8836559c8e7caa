// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/insert_tables.hpp"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/safetensors_edit.hpp"
#include "core/strict_json.hpp"
#include "hashep/error.hpp"
#include "runtime/model/model_tables.hpp"
#include "runtime/model/tensor_names.hpp"
#include "runtime/routing/spread_tensors.hpp"

namespace hashep {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kNewFile = "tid2eid.safetensors";  // of a layer that had no table

template <typename T>
TensorContents contents_of(DType dtype, std::vector<int64_t> shape, const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {dtype, std::move(shape), {bytes.begin(), bytes.end()}};
}

TensorContents experts_of(DType dtype, int top_k, const std::vector<int32_t>& experts) {
  const std::vector<int64_t> shape = {std::ssize(experts) / top_k, top_k};
  if (dtype == DType::i32) return contents_of(dtype, shape, experts);
  return contents_of(dtype, shape, std::vector<int64_t>(experts.begin(), experts.end()));
}

/// What of a model folder is written anew.
class FolderEdit {
 public:
  explicit FolderEdit(const std::string& folder)
      : folder_(folder), config_(read_model_config(folder)), files_(folder, config_.num_layers) {}

  void add(int64_t layer, const RoutingTable& table, std::optional<DType> dtype) {
    require_fitting(layer, table);
    const std::optional<TensorPlace> place = files_.find(table_name(layer));
    const std::string file = place ? place->file->path() : (fs::path(folder_) / kNewFile).string();
    const std::string name = place ? place->name : new_name(layer);
    if (!dtype) dtype = place ? place->file->at(place->name).dtype : DType::i32;
    put(file, name, experts_of(*dtype, table.top_k, table.experts));

    const SpreadTensorNames own = spread_tensor_names(table_name(layer));
    for (const std::string& old : {own.ids, own.offsets, own.rows}) remove(old);
    if (!table.spread) return;
    const SpreadTensorNames names = spread_tensor_names(name);
    const SpreadRows& spread = *table.spread;
    put(file, names.ids, contents_of(DType::i32, {std::ssize(spread.ids)}, spread.ids));
    put(file, names.offsets, contents_of(DType::i64, {std::ssize(spread.offsets)}, spread.offsets));
    put(file, names.rows, experts_of(*dtype, table.top_k, spread.experts));
  }

  void write() {
    std::vector<AtomicFile> written;
    for (const auto& [path, edits] : edits_) {
      std::error_code ignored;
      written.emplace_back(path, LinkAt::replace);
      std::optional<SafeTensorsFile> old;
      if (fs::exists(path, ignored)) old.emplace(path);
      write_edited_safetensors(old ? &*old : nullptr, edits, written.back());
    }
    if (const std::optional<std::string> index = edited_index()) {
      written.emplace_back(index_path(), LinkAt::replace);
      written.back().write(*index);
    }
    for (AtomicFile& file : written) file.commit();
  }

 private:
  void require_fitting(int64_t layer, const RoutingTable& table) const {
    if (config_.router != RouterKind::table) {
      throw InputError(folder_ + ": the model's router is " +
                       std::string(router_name(config_.router)) +
                       " (hashep.router in config.json), so it would not use a table");
    }
    if (layer < 0 || layer >= config_.num_layers) {
      throw InputError(folder_ + ": layer " + std::to_string(layer) + " is not one of the " +
                       std::to_string(config_.num_layers) + " hash-routed layers");
    }
    const std::string source = "the table for layer " + std::to_string(layer) + " of " + folder_;
    if (table.vocab_size != config_.vocab_size || table.top_k != config_.top_k) {
      throw InputError(source + " is [" + std::to_string(table.vocab_size) + ", " +
                       std::to_string(table.top_k) + "], config.json wants [" +
                       std::to_string(config_.vocab_size) + ", " + std::to_string(config_.top_k) +
                       "]");
    }
    validate_table(table, config_.num_experts, source);
    require_spread(config_, table.spread.has_value(), source);
  }

  /// A table's name, spelt as the folder's other tensors are.
  std::string new_name(int64_t layer) const {
    for (const TensorPlace& known : files_.of_hash_layers()) {
      const size_t layers = known.name.find("layers.");
      for (const std::string_view block : {".ffn.", ".mlp."}) {
        if (known.name.find(block) == known.name.npos) continue;
        return known.name.substr(0, layers) + "layers." + std::to_string(layer) +
               std::string(block) + "gate.tid2eid";
      }
    }
    return table_name(layer);
  }

  void put(const std::string& file, const std::string& name, TensorContents contents) {
    names_[name] = fs::path(file).filename().string();
    edits_[file][name] = std::move(contents);
  }

  void remove(const std::string& own_name) {
    const std::optional<TensorPlace> place = files_.find(own_name);
    if (!place) return;
    names_[place->name] = std::nullopt;
    edits_[place->file->path()][place->name] = std::nullopt;
  }

  std::string index_path() const {
    return (fs::path(folder_) / "model.safetensors.index.json").string();
  }

  /// Nothing where there is none, or it stays as it is.
  std::optional<std::string> edited_index() const {
    std::error_code ignored;
    if (!fs::exists(index_path(), ignored)) return std::nullopt;
    const nlohmann::json old = read_json_object(index_path());
    nlohmann::json index = old;
    for (const auto& [name, file_name] : names_) {
      if (file_name) {
        index["weight_map"][name] = *file_name;
      } else {
        index["weight_map"].erase(name);
      }
    }
    if (index == old) return std::nullopt;
    return index.dump(2) + "\n";
  }

  std::string folder_;
  ModelConfig config_;
  ModelFiles files_;
  std::map<std::string, TensorEdits> edits_;                 // by the file's path
  std::map<std::string, std::optional<std::string>> names_;  // tensor -> file, or gone
};

}  // namespace

void insert_model_tables(const std::string& folder, const std::map<int64_t, RoutingTable>& tables,
                         std::optional<DType> dtype) {
  FolderEdit edit(folder);
  for (const auto& [layer, table] : tables) edit.add(layer, table, dtype);
  edit.write();
}

}  // namespace hashep
