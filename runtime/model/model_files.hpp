// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/safetensors.hpp"

namespace hashep {

/// What of a model folder is needed.
enum class ModelParts {
  all,     // every tensor of the hash-routed layers must be there
  tables,  // their routing tables alone: files without any are not opened, and may be missing
};

/// A tensor of a model folder: its file, and its name there.
struct TensorPlace {
  const SafeTensorsFile* file = nullptr;
  std::string name;

  /// For errors: file and tensor.
  std::string text() const;
};

/// The *.safetensors files of a model folder: those that model.safetensors.index.json names for the
/// hash-routed layers, or all where there is no index. Places stay valid as long as this object
/// lives, even moved.
class ModelFiles {
 public:
  /// Layers [0, num_layers) are the hash-routed ones; only their tensors have to be there. Reads
  /// index and headers. An index decides which file a tensor is in, also where others hold it too.
  /// Throws InputError naming file and tensor: an index that names a file outside of the folder, a
  /// missing file or a tensor that its file lacks; a file that is no safetensors file; a tensor
  /// that is in two places, or there in two spellings.
  ModelFiles(const std::string& folder, int64_t num_layers, ModelParts parts = ModelParts::all);

  /// By the name of tensor_names.hpp; files may have any that own_tensor_name knows. `at` throws
  /// InputError where there is none.
  std::optional<TensorPlace> find(const std::string& name) const;
  TensorPlace at(const std::string& name) const;

  /// All tensors of the mixture-of-experts part of the hash-routed layers, in the order of their
  /// names.
  std::vector<TensorPlace> of_hash_layers() const;
  /// Names of routing tables, as files have them, of layers that are not among the hash-routed
  /// ones.
  const std::vector<std::string>& later_tables() const { return later_tables_; }

 private:
  void open_indexed(ModelParts parts);
  void open_all();
  std::vector<std::string> of_hash_layers(std::span<const std::string> names);
  void add(const std::string& name, size_t file);

  struct Entry {
    size_t file = 0;
    std::string name;  // in that file
  };

  std::string folder_;
  int64_t num_layers_ = 0;
  std::string index_;  // its path; empty where there is none
  std::vector<SafeTensorsFile> files_;
  std::map<std::string, Entry> places_;  // by the name of tensor_names.hpp
  std::vector<std::string> later_tables_;
};

}  // namespace hashep
