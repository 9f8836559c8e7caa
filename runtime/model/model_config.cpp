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
constexpr std::array<Named<Score>, 2> kScores = {
    {{"none", Score::none}, {"sqrtsoftplus", Score::sqrtsoftplus}}};
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
bool weights_fit(const ModelConfig& config) {
  const int64_t ffns = config.num_experts + config.num_shared_experts;
  int64_t bytes = 3 * static_cast<int64_t>(sizeof(float));
  for (const int64_t factor : {config.num_layers, ffns, config.hidden_size, config.ffn_size}) {
    if (__builtin_mul_overflow(bytes, factor, &bytes)) return false;
  }
  return true;
}

}  // namespace

std::string_view activation_name(Activation activation) {
  return name_of(kActivations, activation);
}
std::string_view score_name(Score score) {
  return name_of(kScores, score);
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
RouterKind parse_router(std::string_view name) {
  return parse_name(kRouters, name, "router");
}

void validate_config(const ModelConfig& config, const std::string& source) {
  const auto fail = [&](std::string_view key, const std::string& reason) {
    throw InputError(source + ": " + std::string(key) + ": " + reason);
  };
  const auto require_in = [&](std::string_view key, int64_t value, int64_t low, int64_t high) {
    if (value >= low && value <= high) return;
    fail(key, std::to_string(value) + " is not in [" + std::to_string(low) + ", " +
                  std::to_string(high) + "]");
  };
  require_in("num_hash_layers", config.num_layers, 1, kMaxModelSize);
  require_in("hidden_size", config.hidden_size, 1, kMaxModelSize);
  require_in("moe_intermediate_size", config.ffn_size, 1, kMaxModelSize);
  require_in("n_routed_experts", config.num_experts, 1, kMaxModelSize);
  require_in("n_shared_experts", config.num_shared_experts, 0, kMaxModelSize);
  require_in("num_experts_per_tok", config.top_k, 1, config.num_experts);
  require_in("vocab_size", config.vocab_size, 1, kMaxVocabSize);
  if (!weights_fit(config)) fail("n_routed_experts", "a model of these sizes passes 2^63 bytes");
  if (!std::isfinite(config.swiglu_limit) || config.swiglu_limit < 0) {
    fail("swiglu_limit", "neither positive and finite, nor 0 for none");
  }
  if (!std::isfinite(config.routed_scaling_factor) || config.routed_scaling_factor <= 0) {
    fail("routed_scaling_factor", "not positive and finite");
  }
}

void require_spread(const ModelConfig& config, bool has_spread, const std::string& source) {
  if (has_spread == config.spread) return;
  throw InputError(source + (has_spread ? ": has spread rows, but the model was trained without "
                                          "(hashep.spread in config.json)"
                                        : ": has no spread rows, but the model was trained with "
                                          "them (hashep.spread in config.json)"));
}

}  // namespace hashep
