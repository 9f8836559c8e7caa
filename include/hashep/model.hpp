// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hashep/router.hpp"
#include "hashep/stack_shape.hpp"
#include "hashep/weight_source.hpp"

namespace hashep {

/// Layers of a published model: all that a Stack is made from.
struct Model {
  StackShape shape;                             ///< of its layers
  int64_t vocab_size = 0;                       ///< ids are in [0, this)
  std::shared_ptr<const Router> router;         ///< the folder's tables, or the hash it names; null
                                                ///< where no layer is routed ahead
  std::shared_ptr<const WeightSource> weights;  ///< reads the bytes of experts that are asked for
  std::vector<std::string> unused_tensors;  ///< of these layers, that config.json has no use for
};

/// Which layers of a model a stack has.
enum class ModelLayers {
  hash,  ///< those that are hash-routed, the first ones
  all,   ///< those with a learned gate too, and dense ones of shared experts alone
};

/// How a folder is opened.
struct ModelOptions {
  ModelLayers layers = ModelLayers::hash;  ///< of the stack
  bool accept_unused = false;              ///< tensors that config.json leaves unused are no error
};

/// Opens a folder with config.json and *.safetensors, with or without an index, in DeepSeek-V4's
/// names or those of transformers. Reads the config, the files' headers and the tables, and no
/// weights. Throws InputError naming file and key or tensor where something is missing, misshapen,
/// of a format that cannot be computed with, or left unused. Local: no MPI.
Model open_model(const std::string& folder, const ModelOptions& options = {});

}  // namespace hashep
