// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/model_files.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <map>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/quote.hpp"
#include "core/strict_json.hpp"
#include "core/wrong_file.hpp"
#include "hashep/error.hpp"
#include "runtime/routing/tensor_spelling.hpp"

namespace hashep {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexName = "model.safetensors.index.json";

/// The layer that a tensor of a mixture-of-experts part belongs to, by its own name.
std::optional<int64_t> layer_of(std::string_view own) {
  constexpr std::string_view kPrefix = "layers.";
  if (!own.starts_with(kPrefix)) return std::nullopt;
  own.remove_prefix(kPrefix.size());
  int64_t layer = -1;
  const auto [end, error] = std::from_chars(own.data(), own.data() + own.size(), layer);
  const bool is_ours = error == std::errc{} && layer >= 0 &&
                       std::string_view(end, own.data() + own.size()).starts_with(".ffn.");
  return is_ours ? std::optional(layer) : std::nullopt;
}

bool is_table_name(std::string_view name) {
  return name.ends_with(".tid2eid");
}

/// Tensors by file, as the index of a sharded model says.
std::map<std::string, std::vector<std::string>> read_index(const std::string& path) {
  const nlohmann::json root = read_json_object(path);
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
    tensors[name].push_back(tensor);
  }
  return tensors;
}

/// For an error: what the folder has in their place; empty where that is not known.
std::string other_weights(const std::string& folder) {
  constexpr std::array<std::string_view, 8> kEndings = {".bin", ".pt",   ".pth", ".ckpt",
                                                        ".h5",  ".gguf", ".npz", ".msgpack"};
  std::set<std::string> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string ending = entry->path().extension().string();
    if (std::find(kEndings.begin(), kEndings.end(), ending) != kEndings.end()) {
      found.insert(entry->path().string());
    }
  }
  if (found.empty()) return "";
  const std::string known = what_it_is(*found.begin());
  const std::string name = fs::path(*found.begin()).filename().string();
  return ", but " + quote(name) + (known.empty() ? "" : " (" + known + ")") +
         ": weights are read from safetensors alone";
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
  if (files.empty()) throw InputError(folder + ": no *.safetensors file" + other_weights(folder));
  return files;
}

}  // namespace

std::string TensorPlace::text() const {
  return file->path() + ": tensor " + quote(name);
}

ModelFiles::ModelFiles(const std::string& folder, int64_t num_layers, ModelParts parts)
    : folder_(folder), num_layers_(num_layers) {
  const std::string index = (fs::path(folder) / kIndexName).string();
  std::error_code ignored;
  if (fs::exists(index, ignored)) {
    index_ = index;
    open_indexed(parts);
  } else {
    open_all();
  }
  std::sort(later_tables_.begin(), later_tables_.end());
}

std::optional<TensorPlace> ModelFiles::find(const std::string& name) const {
  const auto found = places_.find(name);
  if (found == places_.end()) return std::nullopt;
  return TensorPlace{&files_[found->second.file], found->second.name};
}

TensorPlace ModelFiles::at(const std::string& name) const {
  auto place = find(name);
  if (!place) {
    throw InputError(folder_ + ": no tensor " + quote(name) + ", in no spelling, in " +
                     (index_.empty() ? "any file" : index_));
  }
  return *place;
}

std::vector<TensorPlace> ModelFiles::of_hash_layers() const {
  std::vector<TensorPlace> places;
  for (const auto& [own, entry] : places_) places.push_back({&files_[entry.file], entry.name});
  return places;
}

void ModelFiles::open_indexed(ModelParts parts) {
  for (const auto& [file_name, tensors] : read_index(index_)) {
    const std::vector<std::string> ours = of_hash_layers(tensors);
    const bool is_needed = parts == ModelParts::all
                               ? !ours.empty()
                               : std::any_of(ours.begin(), ours.end(), is_table_name);
    if (!is_needed) continue;
    const auto& file = files_.emplace_back((fs::path(folder_) / file_name).string());
    for (const std::string& tensor : ours) {
      if (!file.has(tensor) && !file.contents().skipped.contains(tensor)) {
        throw InputError(file.path() + ": no tensor " + quote(tensor) + ", where " + index_ +
                         " says it is");
      }
      add(tensor, files_.size() - 1);
    }
  }
}

void ModelFiles::open_all() {
  for (const std::string& path : find_files(folder_)) {
    const SafeTensors& contents = files_.emplace_back(path).contents();
    std::vector<std::string> names;
    for (const auto& [name, tensor] : contents.tensors) names.push_back(name);
    for (const auto& [name, tensor] : contents.skipped) names.push_back(name);
    for (const std::string& name : of_hash_layers(names)) add(name, files_.size() - 1);
  }
}

std::vector<std::string> ModelFiles::of_hash_layers(std::span<const std::string> names) {
  std::vector<std::string> ours;
  for (const std::string& name : names) {
    const std::string own = own_tensor_name(name);
    const std::optional<int64_t> layer = layer_of(own);
    if (!layer) continue;
    if (*layer < num_layers_) {
      ours.push_back(name);
    } else if (is_table_name(own)) {
      later_tables_.push_back(name);
    }
  }
  return ours;
}

void ModelFiles::add(const std::string& name, size_t file) {
  const auto [place, is_new] = places_.try_emplace(own_tensor_name(name), Entry{file, name});
  if (is_new) return;
  const Entry& first = place->second;
  const std::string as = first.name == name ? "" : ", as " + quote(first.name);
  throw InputError(files_[file].path() + ": tensor " + quote(name) + " is also in " +
                   files_[first.file].path() + as);
}

}  // namespace hashep
