// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/config_file.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "core/quote.hpp"
#include "core/setting.hpp"
#include "core/strict_json.hpp"
#include "hashep/error.hpp"
#include "runtime/model/config_reader.hpp"

namespace hashep {
namespace {

using nlohmann::json;

const ConfigKey kNumHashLayers = {"num_hash_layers", {"n_hash_layers"}};
const ConfigKey kHiddenSize = {"hidden_size", {"dim"}};
const ConfigKey kFfnSize = {"moe_intermediate_size", {"moe_inter_dim"}};
const ConfigKey kNumExperts = {"n_routed_experts", {"num_local_experts", "num_experts"}};
const ConfigKey kNumSharedExperts = {"n_shared_experts", {"num_shared_experts"}};
const ConfigKey kTopK = {"num_experts_per_tok", {"n_activated_experts"}};
const ConfigKey kVocabSize = {"vocab_size", {}};
const ConfigKey kNumLayers = {"num_hidden_layers", {"n_layers"}};
const ConfigKey kHiddenAct = {"hidden_act", {}};
const ConfigKey kSwigluLimit = {"swiglu_limit", {}};
const ConfigKey kScoringFunc = {"scoring_func", {"score_func"}};
const ConfigKey kTopKMethod = {"topk_method", {}};
const ConfigKey kScalingFactor = {"routed_scaling_factor", {"route_scale"}};
constexpr std::string_view kLayerTypes = "mlp_layer_types";
constexpr std::string_view kNormalised = "norm_topk_prob";

/// What multimodal models nest their language model's keys in.
constexpr std::array<std::string_view, 2> kNested = {"text_config", "language_config"};

/// Keys that plain weights do not need.
constexpr std::array<std::string_view, 4> kQuantisation = {"quantization_config", "quantization",
                                                           "compression_config", "expert_dtype"};

/// Keys that change a result.
std::vector<std::string_view> result_keys() {
  std::vector<std::string_view> names = {kLayerTypes, kNormalised};
  for (const ConfigKey& key :
       {kNumHashLayers, kHiddenSize, kFfnSize, kNumExperts, kNumSharedExperts, kTopK, kVocabSize,
        kNumLayers, kHiddenAct, kSwigluLimit, kScoringFunc, kTopKMethod, kScalingFactor}) {
    names.push_back(key.name);
    names.insert(names.end(), key.others.begin(), key.others.end());
  }
  return names;
}

/// The keys of a nested object beside those at the top, which must not contradict them.
json flattened(json root, const std::string& path) {
  const std::vector<std::string_view> keys = result_keys();
  for (const std::string_view nest : kNested) {
    const auto nested = root.find(nest);
    if (nested == root.end() || nested->is_null()) continue;
    if (!nested->is_object()) {
      throw InputError(path + ": " + std::string(nest) + ": not an object");
    }
    const json inner = *nested;
    for (const auto& [key, value] : inner.items()) {
      if (value.is_null()) continue;
      json& outer = root[key];
      const bool is_read = std::find(keys.begin(), keys.end(), key) != keys.end();
      if (is_read && !outer.is_null() && outer != value) {
        throw InputError(path + ": " + key + ": not as in " + std::string(nest));
      }
      outer = value;
    }
  }
  return root;
}

/// The leading hash_moe entries of mlp_layer_types; nothing where there is no such key. Of all
/// layers, those behind them must have routed experts.
std::optional<int64_t> leading_hash_layers(const ConfigReader& reader, ModelLayers layers) {
  constexpr std::array<std::string_view, 4> kKnown = {"hash_moe", "moe", "dense", "sparse"};
  const json* types = reader.value(kLayerTypes);
  if (types == nullptr) return std::nullopt;
  if (!types->is_array()) reader.fail(kLayerTypes, "not an array");
  int64_t leading = 0;
  for (size_t layer = 0; layer < types->size(); ++layer) {
    const json& entry = (*types)[layer];
    const std::string type = entry.is_string() ? entry.get<std::string>() : "";
    const std::string where = "entry " + std::to_string(layer);
    if (std::find(kKnown.begin(), kKnown.end(), type) == kKnown.end()) {
      reader.fail(kLayerTypes, where + ": unknown type " + quote(entry.is_string() ? type : "?") +
                                   " (known: hash_moe, moe, dense, sparse)");
    }
    if (layers == ModelLayers::all && type == "dense") {
      reader.fail(kLayerTypes, where + " is dense, among layers that are not");
    }
    if (type != kKnown[0]) continue;
    if (leading != static_cast<int64_t>(layer)) {
      reader.fail(kLayerTypes, where +
                                   " is hash_moe behind entries that are not: hash-routed "
                                   "layers must be the first ones");
    }
    ++leading;
  }
  if (leading == 0 && layers == ModelLayers::hash) {
    reader.fail(kLayerTypes, "no entry is hash_moe: no layer is hash-routed");
  }
  return leading;
}

int64_t hash_layers(const ConfigReader& reader, ModelLayers wanted) {
  const std::optional<int64_t> leading = leading_hash_layers(reader, wanted);
  const bool may_miss = wanted == ModelLayers::all;
  if (!leading && !may_miss && !reader.find(kNumHashLayers)) {
    reader.fail(kNumHashLayers.name, "missing (nor is there n_hash_layers, or mlp_layer_types)");
  }
  const int64_t layers =
      reader.integer(kNumHashLayers, leading || !may_miss ? leading : std::optional<int64_t>(0));
  if (layers == 0 && wanted == ModelLayers::hash) {
    reader.fail(reader.find(kNumHashLayers)->key,
                "0: no layer is hash-routed (" + setting("layers") + " all takes others)");
  }
  if (leading && layers != *leading) {
    reader.fail(reader.find(kNumHashLayers)->key, std::to_string(layers) +
                                                      ", but mlp_layer_types has " +
                                                      std::to_string(*leading) + " hash_moe");
  }
  if (const int64_t all = reader.integer(kNumLayers, layers); layers > all) {
    reader.fail(kNumHashLayers.name, std::to_string(layers) + " of " + std::to_string(all) +
                                         " layers (num_hidden_layers)");
  }
  return layers;
}

/// How choices are scored: by a Score, or by softmax, which learned gates alone have.
struct Scoring {
  Score score = Score::none;
  bool is_softmax = false;
};

Scoring parse_scoring(std::string_view name) {
  if (name == "softmax") return {Score::none, true};
  return {parse_score(name), false};
}

/// The gate of layers that are not hash-routed.
Gate learned_gate(const ConfigReader& reader, int64_t hash_layers, const Scoring& scoring) {
  const json* method = reader.value(kTopKMethod.name);
  const bool is_softmax = scoring.is_softmax;
  if (!is_softmax && scoring.score == Score::none) {
    reader.fail(kScoringFunc.name,
                "layers with a learned gate need softmax, sigmoid or sqrtsoftplus");
  }
  const json expected = is_softmax ? "greedy" : "noaux_tc";
  if (method != nullptr && *method != expected) {
    reader.fail(kTopKMethod.name,
                "expected " + expected.dump() + " with this " + std::string(kScoringFunc.name));
  }
  for (const std::string_view key : {"n_group", "topk_group"}) {
    const json* groups = reader.value(key);
    if (groups != nullptr && *groups != 1) {
      reader.fail(key, "expected 1 (experts are chosen among all, not among groups)");
    }
  }
  return {.kind = is_softmax ? GateKind::softmax_top_k : GateKind::noaux_tc,
          .first_layer = hash_layers};
}

/// Keys of other models: each would make these layers other ones than HashEP's.
void refuse_others(const ConfigReader& reader, int64_t num_layers) {
  const auto expect = [&](std::string_view key, const json& expected, const char* why) {
    const json* value = reader.value(key);
    if (value == nullptr || *value == expected) return;
    reader.fail(key, "expected " + expected.dump() + " (" + why + ")");
  };
  expect("first_k_dense_replace", 0, "the first layers are hash-routed, not dense");
  expect("decoder_sparse_step", 1, "every hash-routed layer has experts");
  expect("mlp_only_layers", json::array(), "every hash-routed layer has experts");
  expect("zero_expert_num", 0, "experts that pass their input on are not supported");
  expect("swiglu_alpha", 1, "silu has no other slope");
  const json* frequency = reader.value("moe_layer_freq");
  if (frequency == nullptr || !frequency->is_array()) {
    expect("moe_layer_freq", 1, "every hash-routed layer has experts");
    return;
  }
  for (size_t i = 0; i < frequency->size() && std::cmp_less(i, num_layers); ++i) {
    if ((*frequency)[i] != 1) {
      reader.fail("moe_layer_freq", "entry " + std::to_string(i) +
                                        ": expected 1 (every hash-routed layer has experts)");
    }
  }
}

/// Else weights of choices would be other ones than those that gate_weights computes.
void require_normalised(const ConfigReader& reader, const ModelConfig& config) {
  const json* norm = reader.value(kNormalised);
  const bool is_softmax = config.gate && config.gate->kind == GateKind::softmax_top_k;
  if (norm == nullptr || (config.score == Score::none && !is_softmax)) return;
  const bool expected = !is_softmax || config.top_k > 1;
  if (*norm == json(expected)) return;
  reader.fail(kNormalised, expected
                               ? "expected true (weights of a token's experts are normalised)"
                               : "expected false (the weight of one expert is its probability)");
}

}  // namespace

ConfigFile parse_config_file(std::string_view text, const std::string& path, ModelLayers layers) {
  return config_of(parse_json_object(text, path), path, layers);
}

ConfigFile config_of(const json& object, const std::string& path, ModelLayers layers) {
  const json root = flattened(object, path);
  const ConfigReader reader(root, path + ": ");
  ConfigFile file;
  file.path = path;
  ModelConfig& config = file.model;
  const int64_t num_hash_layers = hash_layers(reader, layers);
  config.num_layers = layers == ModelLayers::all ? reader.integer(kNumLayers) : num_hash_layers;
  config.hidden_size = reader.integer(kHiddenSize);
  config.ffn_size = reader.integer(kFfnSize);
  config.num_experts = reader.integer(kNumExperts);
  if (layers == ModelLayers::hash && config.num_experts == 0) {
    reader.fail(reader.find(kNumExperts)->key, "0: no layer is hash-routed");
  }
  config.num_shared_experts = reader.integer(kNumSharedExperts, 0);
  config.vocab_size = reader.integer(kVocabSize);
  const int64_t top_k = reader.integer(kTopK);
  if (!std::in_range<int>(top_k)) reader.fail(reader.find(kTopK)->key, "out of range");
  config.top_k = static_cast<int>(top_k);
  config.activation = reader.named(kHiddenAct, parse_activation, Activation::silu);
  config.swiglu_limit = reader.number(kSwigluLimit, 0.0f);
  const auto scoring = layers == ModelLayers::all
                           ? reader.named(kScoringFunc, parse_scoring, Scoring{})
                           : Scoring{reader.named(kScoringFunc, parse_score, Score::none)};
  config.score = scoring.score;
  if (config.num_experts > 0 && num_hash_layers < config.num_layers) {
    config.gate = learned_gate(reader, num_hash_layers, scoring);
  }
  config.routed_scaling_factor = reader.number(kScalingFactor, 1.0f);
  require_normalised(reader, config);
  if (const json* own = reader.value("hashep"); own != nullptr) {
    if (!own->is_object()) reader.fail("hashep", "not an object");
    const ConfigReader own_reader(*own, path + ": hashep.");
    config.router = own_reader.named({"router", {}}, parse_router, RouterKind::table);
    config.router_seed = own_reader.seed("seed");
    config.spread = own_reader.flag("spread");
  }
  refuse_others(reader, config.num_layers);
  file.quantisation = read_quantisation(reader);
  validate_config(config, path);

  for (const ConfigKey& key :
       {kNumSharedExperts, kHiddenAct, kSwigluLimit, kScoringFunc, kScalingFactor}) {
    if (!reader.find(key)) file.missing.emplace_back(key.name);
  }
  if (reader.value(kNormalised) == nullptr) file.missing.emplace_back(kNormalised);
  for (const std::string_view key : kQuantisation) {
    if (reader.value(key) != nullptr) file.quantised_keys.emplace_back(key);
  }
  return file;
}

}  // namespace hashep
