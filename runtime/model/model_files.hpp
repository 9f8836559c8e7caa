// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/safetensors.hpp"

namespace hashep {

/// What of a model folder is needed.
enum class ModelParts {
  all,     // every tensor of the hash-routed layers must be there
  tables,  // their routing tables alone: files without any are not opened, and may be missing
};

/// A tensor of a model folder: its file, and its name there (with or without a leading "model.").
struct TensorPlace {
  const SafeTensorsFile* file = nullptr;
  std::string name;

  /// For errors: file and tensor.
  std::string text() const;
};

/// The *.safetensors files of a model folder: those that model.safetensors.index.json names
/// for the hash-routed layers, or all where there is no index. Places stay valid as long as this
/// object lives, even moved.
class ModelFiles {
 public:
  /// Layers [0, num_layers) are the hash-routed ones; only their tensors have to be there. Reads
  /// index and headers. Throws InputError naming file and tensor: an index that names a file
  /// outside of the folder, a missing file or a tensor that its file lacks; a file that is no
  /// safetensors file; a tensor that is in two places.
  ModelFiles(const std::string& folder, int64_t num_layers, ModelParts parts = ModelParts::all);

  /// By name without a leading "model.". `at` throws InputError where there is none.
  std::optional<TensorPlace> find(const std::string& name) const;
  TensorPlace at(const std::string& name) const;

 private:
  void open_indexed(const std::string& index, int64_t num_layers, ModelParts parts);
  void open_all();
  void add(const std::string& name, size_t file);
  void require_no_second(size_t file) const;

  struct Entry {
    size_t file = 0;
    std::string name;  // in that file
  };

  std::string folder_;
  std::vector<SafeTensorsFile> files_;
  std::unordered_map<std::string, Entry> places_;  // by name without a leading "model."
};

}  // namespace hashep
