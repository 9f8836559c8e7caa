// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/model_config.hpp"

#include <array>
#include <cmath>

#include "core/quote.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

template <typename Value>
struct Named {
  std::string_view name;
  Value value;
};

constexpr std::array<Named<Activation>, 3> kActivations = {
    {{"relu", Activation::relu}, {"gelu", Activation::gelu}, {"silu", Activation::silu}}};
constexpr std::array<Named<Score>, 3> kScores = {
    {{"none", Score::none}, {"sqrtsoftplus", Score::sqrtsoftplus}, {"sigmoid", Score::sigmoid}}};
constexpr std::array<Named<GateKind>, 2> kGates = {
    {{"softmax_top_k", GateKind::softmax_top_k}, {"noaux_tc", GateKind::noaux_tc}}};
constexpr std::array<Named<RouterKind>, 6> kRouters = {{{"token", RouterKind::token},
                                                        {"position", RouterKind::position},
                                                        {"previous", RouterKind::previous},
                                                        {"bigram", RouterKind::bigram},
                                                        {"table", RouterKind::table},
                                                        {"balanced", RouterKind::balanced}}};

template <typename Value, size_t count>
Value parse_name(const std::array<Named<Value>, count>& known, std::string_view name,
                 const std::string& what) {
  std::string names;
  for (const Named<Value>& candidate : known) {
    if (candidate.name == name) return candidate.value;
    names += (names.empty() ? "" : ", ") + std::string(candidate.name);
  }
  throw InputError("unknown " + what + " " + quote(name) + " (known: " + names + ")");
}

template <typename Value, size_t count>
std::string_view name_of(const std::array<Named<Value>, count>& known, Value value) {
  for (const Named<Value>& candidate : known) {
    if (candidate.value == value) return candidate.name;
  }
  throw RunError("a value without a name");
}

/// Bytes of all weights in fp32, and so every product of a model's sizes, must fit int64.
bool weights_fit(const StackShape& config) {
  const int64_t ffns = config.num_experts + config.num_shared_experts;
  int64_t bytes = 3 * static_cast<int64_t>(sizeof(float));
  for (const int64_t factor : {config.num_layers, ffns, config.hidden_size, config.ffn_size}) {
    if (__builtin_mul_overflow(bytes, factor, &bytes)) return false;
  }
  return true;
}

/// What errors call the sizes of a shape.
struct SizeNames {
  std::string_view num_layers;
  std::string_view hidden_size;
  std::string_view ffn_size;
  std::string_view num_experts;
  std::string_view num_shared_experts;
  std::string_view top_k;
  std::string_view score;
};
constexpr SizeNames kConfigKeys = {"num_hash_layers",  "hidden_size",      "moe_intermediate_size",
                                   "n_routed_experts", "n_shared_experts", "num_experts_per_tok",
                                   "scoring_func"};
constexpr SizeNames kShapeNames = {"num_layers",         "hidden_size", "ffn_size", "num_experts",
                                   "num_shared_experts", "top_k",       "score"};

[[noreturn]] void refuse(const std::string& source, std::string_view key,
                         const std::string& reason) {
  throw InputError(source + ": " + std::string(key) + ": " + reason);
}

void require_in(const std::string& source, std::string_view key, int64_t value, int64_t low,
                int64_t high) {
  if (value >= low && value <= high) return;
  refuse(source, key,
         std::to_string(value) + " is not in [" + std::to_string(low) + ", " +
             std::to_string(high) + "]");
}

/// Which scores go with which gate.
void require_gate(const StackShape& shape, const SizeNames& names, const std::string& source) {
  const bool has_score = shape.score != Score::none;
  if (shape.is_dense() && (shape.gate || has_score)) {
    refuse(source, "gate", "no experts that it could choose or weight");
  }
  if (!shape.gate) {
    if (shape.score == Score::sigmoid) {
      refuse(source, names.score, "sigmoid is of the gate noaux_tc alone");
    }
    return;
  }
  require_in(source, "gate.first_layer", shape.gate->first_layer, 0, shape.num_layers - 1);
  if ((shape.gate->kind == GateKind::noaux_tc) != has_score) {
    refuse(source, "gate",
           has_score ? "softmax_top_k has no other score" : "noaux_tc needs a score");
  }
  if (shape.score == Score::sigmoid && shape.gate->first_layer > 0) {
    refuse(source, names.score, "sigmoid, of layers that are routed ahead too");
  }
}

void validate(const StackShape& shape, const SizeNames& names, const std::string& source) {
  require_in(source, names.num_layers, shape.num_layers, 1, kMaxModelSize);
  require_in(source, names.hidden_size, shape.hidden_size, 1, kMaxModelSize);
  require_in(source, names.ffn_size, shape.ffn_size, 1, kMaxModelSize);
  require_in(source, names.num_experts, shape.num_experts, 0, kMaxModelSize);
  require_in(source, names.num_shared_experts, shape.num_shared_experts, 0, kMaxModelSize);
  require_in(source, names.top_k, shape.top_k, shape.is_dense() ? 0 : 1, shape.num_experts);
  if (shape.is_dense() && shape.num_shared_experts == 0) {
    refuse(source, names.num_experts, "0, and no shared experts either");
  }
  require_gate(shape, names, source);
  if (!weights_fit(shape)) {
    refuse(source, names.num_experts, "a model of these sizes passes 2^63 bytes");
  }
  if (!std::isfinite(shape.swiglu_limit) || shape.swiglu_limit < 0) {
    refuse(source, "swiglu_limit", "neither positive and finite, nor 0 for none");
  }
  if (!std::isfinite(shape.routed_scaling_factor) || shape.routed_scaling_factor <= 0) {
    refuse(source, "routed_scaling_factor", "not positive and finite");
  }
}

}  // namespace

std::string_view activation_name(Activation activation) {
  return name_of(kActivations, activation);
}
std::string_view score_name(Score score) {
  return name_of(kScores, score);
}
std::string_view gate_kind_name(GateKind gate) {
  return name_of(kGates, gate);
}
std::string_view router_name(RouterKind router) {
  return name_of(kRouters, router);
}
Activation parse_activation(std::string_view name) {
  return parse_name(kActivations, name, "activation");
}
Score parse_score(std::string_view name) {
  return parse_name(kScores, name, "scoring function");
}
GateKind parse_gate_kind(std::string_view name) {
  return parse_name(kGates, name, "gate");
}
RouterKind parse_router(std::string_view name) {
  return parse_name(kRouters, name, "router");
}

HashFeature hash_feature(RouterKind kind) {
  switch (kind) {
    case RouterKind::position:
      return HashFeature::position;
    case RouterKind::previous:
      return HashFeature::previous;
    case RouterKind::bigram:
      return HashFeature::bigram;
    default:
      return HashFeature::token;
  }
}

void validate_config(const ModelConfig& config, const std::string& source) {
  require_in(source, "vocab_size", config.vocab_size, 1, kMaxVocabSize);
  validate(config.shape(), kConfigKeys, source);
}

void validate_shape(const StackShape& shape, const std::string& source) {
  validate(shape, kShapeNames, source);
}

ModelConfig config_of_shape(const StackShape& shape) {
  return {.num_layers = shape.num_layers,
          .hidden_size = shape.hidden_size,
          .ffn_size = shape.ffn_size,
          .num_experts = shape.num_experts,
          .num_shared_experts = shape.num_shared_experts,
          .top_k = shape.top_k,
          .activation = shape.activation,
          .swiglu_limit = shape.swiglu_limit,
          .score = shape.score,
          .routed_scaling_factor = shape.routed_scaling_factor,
          .gate = shape.gate};
}

void require_spread(const ModelConfig& config, bool has_spread, const std::string& source) {
  if (has_spread == config.spread) return;
  throw InputError(source + (has_spread ? ": has spread rows, but the model was trained without "
                                          "(hashep.spread in config.json)"
                                        : ": has no spread rows, but the model was trained with "
                                          "them (hashep.spread in config.json)"));
}

}  // namespace hashep
