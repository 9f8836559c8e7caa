// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "runtime/model/model_config.hpp"

namespace hashep {

/// What a run took its model to mean: --check cannot see a config that was misread, since its
/// oracle shares it, so a person has to.
struct ModelReport {
  ModelConfig config;
  std::string folder;                // empty: a synthetic model
  std::string routing;               // what gives a token its experts
  std::vector<std::string> unused;   // tensors of the hash-routed layers, as files name them
  std::string weights;               // how the folder stores experts
  std::string weight_form;           // "packed", "expanded"; empty: none are quantised
  std::vector<std::string> ignored;  // keys of config.json that plain weights do not need
};

/// Throws InputError naming a tensor that is left unused, unless that is accepted.
void require_all_used(const ModelReport& report, bool accept_unused);

/// For people; nothing for a synthetic model, whose options say the same.
std::string model_lines(const ModelReport& report);

/// The same in whole, by the keys of config.json.
nlohmann::ordered_json model_json(const ModelReport& report);

}  // namespace hashep
