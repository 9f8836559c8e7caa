// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/model_folder.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <map>
#include <optional>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "core/error.hpp"
#include "core/quote.hpp"
#include "core/safetensors.hpp"
#include "core/strict_json.hpp"
#include "runtime/model/tensor_names.hpp"

namespace hashep {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexName = "model.safetensors.index.json";

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

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

/// Tensors of the hash-routed layers by file, as the index of a sharded model says.
std::map<std::string, std::vector<std::string>> read_index(const std::string& path,
                                                           int64_t num_layers) {
  const MappedFile file(path);
  const nlohmann::json root = parse_json_object(text_of(file), path);
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

bool is_weight_dtype(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

}  // namespace

ModelConfig read_model_config(const std::string& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) throw InputError(folder + ": not a folder");
  const MappedFile file((fs::path(folder) / "config.json").string());
  return parse_model_config(text_of(file), file.path());
}

class ModelFolder::Impl {
 public:
  Impl(const std::string& path, ModelParts parts)
      : folder_(path), config_(read_model_config(path)), parts_(parts) {
    const std::string index = (fs::path(path) / kIndexName).string();
    std::error_code ignored;
    if (fs::exists(index, ignored)) {
      open_indexed(index);
    } else {
      open_all();
    }
    if (parts_ == ModelParts::all) digest_ = check_all();
  }

  const ModelConfig& config() const { return config_; }
  void drop_pages() const {
    for (const SafeTensorsFile& file : files_) file.drop_pages();
  }
  uint64_t shape_digest() const { return digest_; }

  RoutingTable table(int64_t layer) const {
    const Place place = at(table_name(layer));
    return table_from_tensor(table_tensor(place), config_.num_experts, text_of(place));
  }

  /// Views of the mapped files.
  FfnWeights ffn(const std::string& name, const FfnShape& shape) const {
    FfnWeights weights;
    const std::array views = {&weights.w1, &weights.w2, &weights.w3};
    const std::array biases = {&weights.bias1, &weights.bias2, &weights.bias3};
    const std::vector<FfnMatrix> matrices = ffn_matrices(shape);
    for (size_t i = 0; i < matrices.size(); ++i) {
      const auto& [matrix, rows, cols] = matrices[i];
      *views[i] = weight(at(weight_name(name, matrix)), rows, cols);
      const auto bias = find(bias_name(name, matrix));
      if (bias) *biases[i] = weight(*bias, 1, rows);
    }
    return weights;
  }

  ConstMatrixView gate(int64_t layer) const {
    return weight(at(gate_name(layer)), config_.num_experts, config_.hidden_size);
  }

 private:
  /// A tensor, its file, and its name in that file.
  struct Place {
    const SafeTensorsFile* file = nullptr;
    std::string name;
  };

  static std::string text_of(const Place& place) {
    return place.file->path() + ": tensor " + quote(place.name);
  }

  void open_indexed(const std::string& index) {
    for (const auto& [file_name, tensors] : read_index(index, config_.num_layers)) {
      if (!are_needed(tensors)) continue;
      const auto& file = files_.emplace_back((fs::path(folder_) / file_name).string());
      for (const std::string& tensor : tensors) {
        if (!file.has(tensor) && !file.contents().skipped.contains(tensor)) {
          throw InputError(file.path() + ": no tensor " + quote(tensor) + ", where " + index +
                           " says it is");
        }
        add(tensor, files_.size() - 1);
      }
    }
  }

  /// Whether a file of these tensors is to be opened.
  bool are_needed(const std::vector<std::string>& tensors) const {
    return parts_ == ModelParts::all ||
           std::any_of(tensors.begin(), tensors.end(),
                       [](const std::string& name) { return name.ends_with(".tid2eid"); });
  }

  void open_all() {
    for (const std::string& path : find_files(folder_)) {
      const SafeTensors& contents = files_.emplace_back(path).contents();
      for (const auto& [name, tensor] : contents.tensors) add(name, files_.size() - 1);
      for (const auto& [name, dtype] : contents.skipped) add(name, files_.size() - 1);
    }
  }

  void add(const std::string& name, size_t file) {
    const auto [place, is_new] =
        places_.try_emplace(std::string(without_model(name)), Entry{file, name});
    if (is_new) return;
    throw InputError(files_[file].path() + ": tensor " + quote(name) + " is also in " +
                     files_[place->second.file].path());
  }

  std::optional<Place> find(const std::string& name) const {
    const auto found = places_.find(name);
    if (found == places_.end()) return std::nullopt;
    return Place{&files_[found->second.file], found->second.name};
  }

  Place at(const std::string& name) const {
    auto place = find(name);
    if (!place) throw InputError(folder_ + ": no tensor " + quote(name) + " in any file");
    return *place;
  }

  static ConstMatrixView weight(const Place& place, int64_t rows, int64_t cols) {
    const SafeTensor& tensor = place.file->at(place.name);
    if (!is_weight_dtype(tensor.dtype)) {
      throw InputError(text_of(place) + ": dtype " + std::string(dtype_name(tensor.dtype)) +
                       ", expected fp32, fp16 or bf16");
    }
    return tensor.matrix(rows, cols, text_of(place));
  }

  const SafeTensor& table_tensor(const Place& place) const {
    const SafeTensor& tensor = place.file->at(place.name);
    if (tensor.dtype != DType::i32 && tensor.dtype != DType::i64) {
      throw InputError(text_of(place) + ": dtype " + std::string(dtype_name(tensor.dtype)) +
                       ", expected i32 or i64");
    }
    tensor.matrix(config_.vocab_size, config_.top_k, text_of(place));  // throws where it is not
    if (tensor.shape.size() != 2) throw InputError(text_of(place) + ": not a 2-D tensor");
    return tensor;
  }

  /// Finds each tensor that the model needs and checks its shape, so that nothing is missing once
  /// tokens move. Reads headers alone. Returns their digest.
  uint64_t check_all() const {
    ShapeDigest digest;
    const auto add_matrix = [&](const std::string& name, const ConstMatrixView& view) {
      digest.add(name, view.dtype, std::array{view.rows, view.cols});
    };
    const auto add_ffn = [&](const std::string& name, const FfnShape& shape) {
      const FfnWeights weights = ffn(name, shape);
      for (const auto& view :
           {weights.w1, weights.w2, weights.w3, weights.bias1, weights.bias2, weights.bias3}) {
        add_matrix(name, view);
      }
    };
    for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
      if (config_.router == RouterKind::table) {
        const SafeTensor& tensor = table_tensor(at(table_name(layer)));
        digest.add(table_name(layer), tensor.dtype, tensor.shape);
      }
      if (config_.score == Score::sqrtsoftplus) add_matrix(gate_name(layer), gate(layer));
      for (int64_t expert = 0; expert < config_.num_experts; ++expert) {
        add_ffn(routed_expert_name(layer, expert), config_.routed_shape());
      }
      if (config_.num_shared_experts > 0) {
        add_ffn(shared_experts_name(layer), config_.shared_shape());
      }
    }
    return digest.value();
  }

  struct Entry {
    size_t file = 0;
    std::string name;  // in that file
  };

  std::string folder_;
  ModelConfig config_;
  ModelParts parts_;
  std::vector<SafeTensorsFile> files_;
  std::unordered_map<std::string, Entry> places_;  // by name without a leading "model."
  uint64_t digest_ = 0;
};

ModelFolder::ModelFolder(const std::string& path, ModelParts parts)
    : impl_(std::make_unique<Impl>(path, parts)) {}
ModelFolder::~ModelFolder() = default;

const ModelConfig& ModelFolder::config() const {
  return impl_->config();
}

RoutingTable ModelFolder::table(int64_t layer) const {
  return impl_->table(layer);
}

LoadedFfn ModelFolder::routed_expert(int64_t layer, int64_t expert) const {
  return {impl_->ffn(routed_expert_name(layer, expert), config().routed_shape()), {}};
}

LoadedFfn ModelFolder::shared_experts(int64_t layer) const {
  if (config().num_shared_experts == 0) return {};
  return {impl_->ffn(shared_experts_name(layer), config().shared_shape()), {}};
}

LoadedMatrix ModelFolder::gate(int64_t layer) const {
  LoadedMatrix gate{impl_->gate(layer), {}};
  const bool is_aligned = reinterpret_cast<uintptr_t>(gate.view.data) % alignof(float) == 0;
  if (gate.view.dtype == DType::f32 && is_aligned) return gate;
  const int64_t count = gate.view.rows * gate.view.cols;
  gate.owned.reserve(count * dtype_size(DType::f32));
  convert_to_float(gate.view.dtype, gate.view.data, count,
                   reinterpret_cast<float*>(gate.owned.data()));
  gate.view = gate.owned.matrix(DType::f32, gate.view.rows, gate.view.cols);
  return gate;
}

void ModelFolder::drop_pages() const {
  impl_->drop_pages();
}

uint64_t ModelFolder::shape_digest() const {
  return impl_->shape_digest();
}

}  // namespace hashep
