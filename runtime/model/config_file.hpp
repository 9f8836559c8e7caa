// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "hashep/model.hpp"
#include "runtime/model/model_config.hpp"
#include "runtime/model/quantisation.hpp"

namespace hashep {

/// What a config.json says.
struct ConfigFile {
  std::string path;
  ModelConfig model;
  std::vector<std::string> missing;  // keys that change a result: `model` has a default for them
  Quantisation quantisation = {};
  std::vector<std::string>
      quantised_keys;  // of quantised weights: of no effect where there are none
};

/// Parses the text of a config.json: DeepSeek-V4's own keys, those of its inference code and of the
/// transformers library (docs/model-folders.md lists them), at the top or in text_config. Throws
/// InputError naming `path` and the key where one is missing that every use of the model needs, has
/// no such value, contradicts another spelling, or asks for what HashEP does not compute. Other
/// keys are not looked at. Validates.
ConfigFile parse_config_file(std::string_view json, const std::string& path,
                             ModelLayers layers = ModelLayers::hash);
/// The same of text that was parsed.
ConfigFile config_of(const nlohmann::json& object, const std::string& path,
                     ModelLayers layers = ModelLayers::hash);

}  // namespace hashep
