// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "runtime/model/model_files.hpp"
#include "runtime/model/weight_source.hpp"
#include "runtime/routing/routing_table.hpp"

namespace hashep {

/// A folder with config.json and *.safetensors, with or without model.safetensors.index.json;
/// tensor names as in DESIGN.md ("Model folder"), with or without a leading "model.". Files are
/// read by parts, so a rank reads the bytes of its own experts only, and holds no file.
class ModelFolder final : public WeightSource {
 public:
  /// Reads config and the files' headers. Throws InputError naming file and key or tensor.
  explicit ModelFolder(const std::string& path, ModelParts parts = ModelParts::all);
  ~ModelFolder() override;

  const ModelConfig& config() const;

  /// layers.{layer}.ffn.gate.tid2eid, validated; RouterKind::table only.
  RoutingTable table(int64_t layer) const;

  LoadedFfn routed_expert(int64_t layer, int64_t expert) const override;
  LoadedFfn shared_experts(int64_t layer) const override;
  LoadedMatrix gate(int64_t layer) const override;
  uint64_t sample_expert(int64_t layer, int64_t expert) const override;
  uint64_t shape_digest() const override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hashep
