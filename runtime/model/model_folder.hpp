// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "hashep/model.hpp"
#include "hashep/routing_table.hpp"
#include "hashep/weight_source.hpp"
#include "runtime/model/model_config.hpp"
#include "runtime/model/model_files.hpp"

namespace hashep {

/// Types of weights: "fp32", "fp16", "bf16", "fp8", "fp4".
struct WeightTypes {
  std::set<std::string> routed;
  std::set<std::string> shared;
  bool can_stay_packed = true;  // those that are quantised: see core/quantised_matrix.hpp

  bool are_quantised() const;
};

/// A folder with config.json and *.safetensors, with or without model.safetensors.index.json, in
/// the spellings of docs/model-folders.md. Files are read by parts, so a rank reads the bytes of
/// its own experts only, and holds no file.
class ModelFolder final : public WeightSource {
 public:
  /// Reads config and the files' headers. Throws InputError naming file and key or tensor; with
  /// ModelParts::all also where config.json lacks a key that a tensor needs.
  explicit ModelFolder(const std::string& path, ModelParts parts = ModelParts::all,
                       ModelLayers layers = ModelLayers::hash);
  ~ModelFolder() override;

  const ModelConfig& config() const;
  /// Tensors of the layers, as files name them, that the config has no use for, and
  /// tables of later layers. With ModelParts::all.
  const std::vector<std::string>& unused_tensors() const;
  /// Of the experts, as the folder stores them. With ModelParts::all.
  const WeightTypes& weight_types() const;
  /// See ConfigFile.
  const std::vector<std::string>& quantised_keys() const;

  /// gate.tid2eid of a layer, validated; RouterKind::table only, and of hash-routed layers.
  RoutingTable table(int64_t layer) const;

  LoadedFfn routed_expert(int64_t layer, int64_t expert) const override;
  LoadedFfn shared_experts(int64_t layer) const override;
  LoadedMatrix gate(int64_t layer) const override;
  LoadedMatrix gate_bias(int64_t layer) const override;
  std::optional<StoredFfn> stored_expert(int64_t layer, int64_t expert) const override;
  std::optional<uint64_t> sample_expert(int64_t layer, int64_t expert) const override;
  uint64_t shape_digest() const override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hashep
