// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/model_files.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/error.hpp"
#include "core/input_file.hpp"
#include "core/quote.hpp"
#include "core/strict_json.hpp"

namespace hashep {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexName = "model.safetensors.index.json";

/// A name of tensor_names.hpp from one in a file.
std::string_view without_model(std::string_view name) {
  constexpr std::string_view kPrefix = "model.";
  if (name.starts_with(kPrefix)) name.remove_prefix(kPrefix.size());
  return name;
}

/// Whether a tensor belongs to one of the hash-routed layers: the others may be missing.
bool is_of_hash_layers(std::string_view name, int64_t num_layers) {
  constexpr std::string_view kPrefix = "layers.";
  name = without_model(name);
  if (!name.starts_with(kPrefix)) return false;
  name.remove_prefix(kPrefix.size());
  int64_t layer = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  return error == std::errc{} && layer >= 0 && layer < num_layers &&
         std::string_view(end, name.data() + name.size()).starts_with(".ffn.");
}

bool is_table_name(const std::string& name) {
  return name.ends_with(".tid2eid");
}

/// Tensors of the hash-routed layers by file, as the index of a sharded model says.
std::map<std::string, std::vector<std::string>> read_index(const std::string& path,
                                                           int64_t num_layers) {
  const nlohmann::json root = parse_json_object(read_text_file(path), path);
  const auto weight_map = root.find("weight_map");
  if (weight_map == root.end() || !weight_map->is_object()) {
    throw InputError(path + ": weight_map: missing or not an object");
  }
  std::map<std::string, std::vector<std::string>> tensors;
  for (const auto& [tensor, value] : weight_map->items()) {
    const std::string name = value.is_string() ? value.get<std::string>() : "";
    // A model folder may come from anywhere: its index must not reach files outside.
    const bool is_plain = !name.empty() && name != "." && name != ".." &&
                          name.find_first_of(std::string_view("/\\\0", 3)) == name.npos;
    if (!is_plain) {
      throw InputError(path + ": weight_map: " + quote(tensor) + ": " + quote(name) +
                       " is not the name of a file in the folder");
    }
    if (is_of_hash_layers(tensor, num_layers)) tensors[name].push_back(tensor);
  }
  return tensors;
}

/// The *.safetensors files of a folder, sorted by name.
std::vector<std::string> find_files(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == ".safetensors") files.push_back(entry->path().string());
  }
  if (error) throw InputError(folder + ": cannot read: " + error.message());
  std::sort(files.begin(), files.end());
  if (files.empty()) throw InputError(folder + ": no *.safetensors file");
  return files;
}

}  // namespace

std::string TensorPlace::text() const {
  return file->path() + ": tensor " + quote(name);
}

ModelFiles::ModelFiles(const std::string& folder, int64_t num_layers, ModelParts parts)
    : folder_(folder) {
  const std::string index = (fs::path(folder) / kIndexName).string();
  std::error_code ignored;
  if (fs::exists(index, ignored)) {
    open_indexed(index, num_layers, parts);
  } else {
    open_all();
  }
}

std::optional<TensorPlace> ModelFiles::find(const std::string& name) const {
  const auto found = places_.find(name);
  if (found == places_.end()) return std::nullopt;
  return TensorPlace{&files_[found->second.file], found->second.name};
}

TensorPlace ModelFiles::at(const std::string& name) const {
  auto place = find(name);
  if (!place) throw InputError(folder_ + ": no tensor " + quote(name) + " in any file");
  return *place;
}

void ModelFiles::open_indexed(const std::string& index, int64_t num_layers, ModelParts parts) {
  for (const auto& [file_name, tensors] : read_index(index, num_layers)) {
    const bool is_needed =
        parts == ModelParts::all || std::any_of(tensors.begin(), tensors.end(), is_table_name);
    if (!is_needed) continue;
    const auto& file = files_.emplace_back((fs::path(folder_) / file_name).string());
    for (const std::string& tensor : tensors) {
      if (!file.has(tensor) && !file.contents().skipped.contains(tensor)) {
        throw InputError(file.path() + ": no tensor " + quote(tensor) + ", where " + index +
                         " says it is");
      }
      add(tensor, files_.size() - 1);
    }
  }
  for (size_t file = 0; file < files_.size(); ++file) require_no_second(file);
}

void ModelFiles::open_all() {
  for (const std::string& path : find_files(folder_)) {
    const SafeTensors& contents = files_.emplace_back(path).contents();
    for (const auto& [name, tensor] : contents.tensors) add(name, files_.size() - 1);
    for (const auto& [name, tensor] : contents.skipped) add(name, files_.size() - 1);
  }
}

void ModelFiles::add(const std::string& name, size_t file) {
  const auto [place, is_new] =
      places_.try_emplace(std::string(without_model(name)), Entry{file, name});
  if (is_new) return;
  throw InputError(files_[file].path() + ": tensor " + quote(name) + " is also in " +
                   files_[place->second.file].path());
}

/// The index decides where a tensor is, but it does not tell which of two the right one is.
void ModelFiles::require_no_second(size_t file) const {
  const auto require = [&](const std::string& name) {
    const auto found = places_.find(std::string(without_model(name)));
    if (found == places_.end()) return;
    const Entry& indexed = found->second;
    if (indexed.file == file && indexed.name == name) return;
    throw InputError(files_[file].path() + ": tensor " + quote(name) + " is also in " +
                     files_[indexed.file].path() + ", which the index names for it");
  };
  for (const auto& [name, tensor] : files_[file].contents().tensors) require(name);
  for (const auto& [name, tensor] : files_[file].contents().skipped) require(name);
}

}  // namespace hashep
