// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/result_keys.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "core/quote.hpp"
#include "hashep/error.hpp"
#include "runtime/routing/tensor_spelling.hpp"

namespace hashep {
namespace {

/// A key, tensors that need it (a part of their names), and what would become of them without it.
struct Need {
  std::string_view key;
  std::string_view tensors;
  std::string_view without;
};

constexpr std::string_view kGate = ".gate.weight";

constexpr std::array<Need, 7> kNeeds = {{
    {"scoring_func", kGate, "which would go unused"},
    {"n_shared_experts", ".shared_experts.", "which would go unused"},
    {"routed_scaling_factor", kGate, "whose scores it scales (1: not at all)"},
    {"norm_topk_prob", kGate, "whose scores it normalises (true: they are)"},
    {"hidden_act", ".experts.", "an expert that needs an activation"},
    {"swiglu_limit", ".w3.weight", "an expert of SwiGLU (0: without a limit)"},
    {"swiglu_limit", ".gate_up_proj.weight", "experts of SwiGLU (0: without a limit)"},
}};

}  // namespace

void require_result_keys(const ConfigFile& config, const ModelFiles& files) {
  const auto fail = [&](std::string_view key, const std::string& reason) {
    throw InputError(config.path + ": " + std::string(key) + ": " + reason);
  };
  const auto is_missing = [&](std::string_view key) {
    return std::find(config.missing.begin(), config.missing.end(), key) != config.missing.end();
  };
  const ModelConfig& model = config.model;
  const bool has_scores = model.score != Score::none || is_missing("scoring_func");
  for (const Need& need : kNeeds) {
    if (!is_missing(need.key) || (need.tensors == kGate && !has_scores)) continue;
    for (const TensorPlace& place : files.of_hash_layers()) {
      if (own_tensor_name(place.name).find(need.tensors) == std::string::npos) continue;
      fail(need.key,
           "missing, though there is " + quote(place.name) + ", " + std::string(need.without));
    }
  }
  if (model.score == Score::none && model.routed_scaling_factor != 1.0f) {
    fail("routed_scaling_factor", "not 1, but scoring_func is none, which has no factor");
  }
  if (model.activation != Activation::silu && model.swiglu_limit > 0.0f) {
    fail("swiglu_limit", "not 0, but hidden_act is " +
                             std::string(activation_name(model.activation)) +
                             ", which has no limit");
  }
}

}  // namespace hashep
