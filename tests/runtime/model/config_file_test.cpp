// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/config_file.hpp"

#include <limits>
#include <nlohmann/json.hpp>

#include "hashep/error.hpp"
#include "tests/runtime/model/small_model.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using Catch::Matchers::StartsWith;
using nlohmann::json;

namespace {

json base() {
  return json::parse(test::small_config_json());
}

std::string error_of(const json& config) {
  try {
    parse_config_file(config.dump(), "config.json");
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

std::string error_with(const std::string& key, const json& value) {
  json config = base();
  config[key] = value;
  return error_of(config);
}

}  // namespace

TEST_CASE("the config of DeepSeek-V4 is read") {
  const ModelConfig config = parse_config_file(test::small_config_json(), "config.json").model;
  ModelConfig expected;
  expected.num_layers = 2;
  expected.hidden_size = 6;
  expected.ffn_size = 5;
  expected.num_experts = 3;
  expected.num_shared_experts = 2;
  expected.top_k = 2;
  expected.vocab_size = 7;
  expected.activation = Activation::silu;
  expected.swiglu_limit = 10.0f;
  expected.score = Score::sqrtsoftplus;
  expected.routed_scaling_factor = 1.5f;
  expected.router = RouterKind::table;
  CHECK(config == expected);
  CHECK(config.shared_shape() == FfnShape{6, 10, Activation::silu, 10.0f});
}

TEST_CASE("an arithmetic hash is chosen by the key hashep") {
  json config = base();
  config["hashep"] = {{"router", "bigram"}, {"seed", 18446744073709551615u}};
  const ModelConfig parsed = parse_config_file(config.dump(), "f").model;
  CHECK(parsed.router == RouterKind::bigram);
  CHECK(parsed.router_seed == std::numeric_limits<uint64_t>::max());
}

TEST_CASE("keys that change a result may be missing or null, and are named") {
  const std::vector<std::string> keys = {"n_shared_experts",      "hidden_act",
                                         "swiglu_limit",          "scoring_func",
                                         "routed_scaling_factor", "norm_topk_prob"};
  for (const std::string& key : keys) {
    json config = base();
    config[key] = nullptr;
    const ConfigFile with_null = parse_config_file(config.dump(), "f");
    config.erase(key);
    const ConfigFile without = parse_config_file(config.dump(), "f");
    CHECK(without.model == with_null.model);
    CHECK(without.missing == std::vector{key});
    CHECK(with_null.missing == without.missing);
  }
  json config = base();
  CHECK(parse_config_file(config.dump(), "f").missing.empty());
  for (const std::string& key : keys) config.erase(key);
  const ConfigFile parsed = parse_config_file(config.dump(), "f");
  CHECK(parsed.missing == keys);
  CHECK(parsed.model.num_shared_experts == 0);
  CHECK(parsed.model.swiglu_limit == 0.0f);
  CHECK(parsed.model.score == Score::none);
}

TEST_CASE("a missing or impossible value is an input error that names file and key") {
  for (const std::string key : {"num_hash_layers", "hidden_size", "moe_intermediate_size",
                                "n_routed_experts", "num_experts_per_tok", "vocab_size"}) {
    json config = base();
    config.erase(key);
    CHECK_THAT(error_of(config), StartsWith("config.json: " + key + ": missing"));
    for (const json& value : {json(0), json(-1), json(1.0), json("4"), json(9223372036854775808u),
                              json(9223372036854775807), json::array()}) {
      INFO(key << " = " << value);
      CHECK_THAT(error_with(key, value), ContainsSubstring("config.json: " + key + ": "));
    }
  }
  CHECK_THAT(error_with("num_experts_per_tok", 4), ContainsSubstring("4 is not in [1, 3]"));
  CHECK_THAT(error_with("n_shared_experts", -1), ContainsSubstring("n_shared_experts"));
  for (const json& value : {json(-1.0), json(1e39), json("1")}) {
    CHECK_THAT(error_with("swiglu_limit", value), ContainsSubstring("swiglu_limit: "));
    CHECK_THAT(error_with("routed_scaling_factor", value),
               ContainsSubstring("routed_scaling_factor: "));
  }
  CHECK_THAT(error_with("hidden_act", "swish"),
             ContainsSubstring("hidden_act: unknown activation \"swish\"") &&
                 ContainsSubstring("relu, gelu, silu"));
  CHECK_THAT(error_with("scoring_func", "softmax"), ContainsSubstring("none, sqrtsoftplus"));
  CHECK_THAT(error_with("hidden_act", 1), ContainsSubstring("not a string"));
  CHECK_THAT(error_with("hashep", "table"), ContainsSubstring("hashep: not an object"));
  CHECK_THAT(error_with("hashep", {{"router", "learned"}}),
             ContainsSubstring("hashep.router: unknown router \"learned\""));
  CHECK_THAT(error_with("hashep", {{"seed", -1}}), ContainsSubstring("hashep.seed: "));
  CHECK_THAT(error_of(json::array()), ContainsSubstring("not a JSON object"));
}

TEST_CASE("all layers of a model are its hash-routed ones, and those with a learned gate") {
  const auto all = [](const json& config) {
    return parse_config_file(config.dump(), "f", ModelLayers::all).model;
  };
  const auto error = [&](json config, const std::string& key, const json& value) -> std::string {
    config[key] = value;
    try {
      all(config);
      return "no error";
    } catch (const InputError& failure) {
      return failure.what();
    }
  };
  json config = base();
  CHECK_THAT(error(config, "num_hidden_layers", nullptr),
             ContainsSubstring("num_hidden_layers: missing"));
  const int64_t hash_layers = config["num_hash_layers"];
  config["num_hidden_layers"] = hash_layers + 4;
  config["topk_method"] = "noaux_tc";
  config["scoring_func"] = "sqrtsoftplus";
  config["norm_topk_prob"] = true;
  const ModelConfig mixed = all(config);
  CHECK(mixed.num_layers == hash_layers + 4);
  CHECK(mixed.gate == Gate{.kind = GateKind::noaux_tc, .first_layer = hash_layers});
  CHECK(mixed.shape().num_routed_layers() == hash_layers);
  CHECK(mixed.shape().has_gate_bias(hash_layers));
  CHECK(!mixed.shape().has_gate(hash_layers - 1));
  // The hash-routed ones alone are as ever.
  CHECK(!parse_config_file(config.dump(), "f").model.gate);
  CHECK_THAT(error(config, "scoring_func", "sigmoid"),
             ContainsSubstring("scoring_func: sigmoid, of layers that are routed ahead too"));
  CHECK_THAT(error(config, "topk_method", "group_limited_greedy"),
             ContainsSubstring("topk_method: expected \"noaux_tc\""));
  CHECK_THAT(error(config, "n_group", 8), ContainsSubstring("n_group: expected 1"));
  CHECK_THAT(error(config, "scoring_func", "none"), ContainsSubstring("scoring_func: "));
  CHECK_THAT(error(config, "norm_topk_prob", false), ContainsSubstring("expected true"));
  CHECK_THAT(error(config, "mlp_layer_types", {"hash_moe", "dense"}),
             ContainsSubstring("entry 1 is dense"));

  config["num_hash_layers"] = 0;
  config["scoring_func"] = "softmax";
  config["topk_method"] = "greedy";
  config["routed_scaling_factor"] = 1.0;
  config["num_experts_per_tok"] = 1;
  config["norm_topk_prob"] = false;
  const ModelConfig learned = all(config);
  CHECK(learned.gate == Gate{.kind = GateKind::softmax_top_k, .first_layer = 0});
  CHECK(learned.score == Score::none);
  CHECK_THAT(error(config, "norm_topk_prob", true), ContainsSubstring("expected false"));
  CHECK_THAT(error_of(config), ContainsSubstring("num_hash_layers: 0: no layer is hash-routed"));

  config["n_routed_experts"] = 0;
  config["num_experts_per_tok"] = 0;
  config["n_shared_experts"] = 2;
  config["scoring_func"] = "none";
  const ModelConfig dense = all(config);
  CHECK(dense.shape().is_dense());
  CHECK(!dense.gate);
  CHECK_THAT(error(config, "n_shared_experts", 0), ContainsSubstring("no shared experts either"));
}

TEST_CASE("weights of choices that are not normalised are refused where they would be") {
  CHECK_THAT(error_with("norm_topk_prob", false),
             ContainsSubstring("config.json: norm_topk_prob: expected true"));
  CHECK_THAT(error_with("norm_topk_prob", 1), ContainsSubstring("norm_topk_prob"));
  CHECK(error_with("norm_topk_prob", true) == "no error");
  json config = base();
  config["norm_topk_prob"] = false;
  config["scoring_func"] = "none";
  CHECK(error_of(config) == "no error");
}

TEST_CASE("sizes whose product passes int64 are an input error") {
  json config = base();
  config.erase("num_hidden_layers");
  for (const auto* key :
       {"num_hash_layers", "hidden_size", "moe_intermediate_size", "n_routed_experts"}) {
    config[key] = int64_t{1} << 20;
  }
  CHECK_THAT(error_of(config), ContainsSubstring("2^63 bytes"));
}

TEST_CASE("keys are read in the spellings of the inference code and of transformers") {
  const ModelConfig expected = parse_config_file(base().dump(), "f").model;
  const std::vector<std::pair<const char*, const char*>> spellings = {
      {"num_hash_layers", "n_hash_layers"},
      {"hidden_size", "dim"},
      {"moe_intermediate_size", "moe_inter_dim"},
      {"n_routed_experts", "num_local_experts"},
      {"n_routed_experts", "num_experts"},
      {"n_shared_experts", "num_shared_experts"},
      {"num_experts_per_tok", "n_activated_experts"},
      {"num_hidden_layers", "n_layers"},
      {"scoring_func", "score_func"},
      {"routed_scaling_factor", "route_scale"}};
  for (const auto& [name, other] : spellings) {
    INFO(other);
    json config = base();
    config[other] = config[name];
    CHECK(error_of(config) == "no error");
    config.erase(name);
    CHECK(parse_config_file(config.dump(), "f").model == expected);
    CHECK(parse_config_file(config.dump(), "f").missing.empty());
    config[name] = 7777;
    CHECK_THAT(error_of(config),
               StartsWith("config.json: " + std::string(name) + ": 7777, but " + other + " is "));
  }
  json config = base();
  config.erase("hidden_size");
  config["dim"] = "6";
  CHECK(error_of(config) == "config.json: dim: not a 64-bit integer");
  config.erase("dim");
  CHECK(error_of(config) == "config.json: hidden_size: missing (nor is there dim)");
}

TEST_CASE("a config nested in text_config is read, and may not contradict what stands outside") {
  for (const char* nest : {"text_config", "language_config"}) {
    json config;
    config[nest] = base();
    config["vocab_size"] = 7;
    config["initializer_range"] = 1;
    config[nest]["initializer_range"] = 2;
    CHECK(parse_config_file(config.dump(), "f").model ==
          parse_config_file(base().dump(), "f").model);
    config["vocab_size"] = 8;
    CHECK(error_of(config) == "config.json: vocab_size: not as in " + std::string(nest));
    config[nest] = 1;
    CHECK(error_of(config) == "config.json: " + std::string(nest) + ": not an object");
  }
}

TEST_CASE("leading hash_moe entries of mlp_layer_types are the hash-routed layers") {
  const auto error_of_types = [](const json& types, const json& num_hash_layers) {
    json config = base();
    config["num_hash_layers"] = num_hash_layers;
    config["mlp_layer_types"] = types;
    return error_of(config);
  };
  json config = base();
  config.erase("num_hash_layers");
  config["mlp_layer_types"] = {"hash_moe", "hash_moe", "moe", "moe"};
  CHECK(parse_config_file(config.dump(), "f").model.num_layers == 2);
  CHECK(error_of_types({"hash_moe", "hash_moe", "sparse", "dense"}, 2) == "no error");
  CHECK(error_of_types({"hash_moe", "moe"}, 2) ==
        "config.json: num_hash_layers: 2, but mlp_layer_types has 1 hash_moe");
  CHECK_THAT(error_of_types({"moe", "hash_moe"}, nullptr),
             ContainsSubstring("mlp_layer_types: entry 1 is hash_moe behind entries that are not"));
  CHECK_THAT(error_of_types({"hash_moe", "moe", "hash_moe"}, nullptr),
             ContainsSubstring("mlp_layer_types: entry 2 is hash_moe behind"));
  CHECK_THAT(error_of_types({"hash_moe", "hash-moe"}, nullptr),
             ContainsSubstring("entry 1: unknown type \"hash-moe\" (known: hash_moe, moe"));
  CHECK_THAT(error_of_types({"hash_moe", 1}, nullptr), ContainsSubstring("entry 1: unknown type"));
  CHECK_THAT(error_of_types({"moe", "moe"}, nullptr), ContainsSubstring("no entry is hash_moe"));
  CHECK_THAT(error_of_types("hash_moe", nullptr), ContainsSubstring("not an array"));
  CHECK(error_of_types(nullptr, nullptr) ==
        "config.json: num_hash_layers: missing (nor is there n_hash_layers, or mlp_layer_types)");
  CHECK(error_with("num_hidden_layers", 1) ==
        "config.json: num_hash_layers: 2 of 1 layers (num_hidden_layers)");
}

TEST_CASE("keys that make the layers other ones than HashEP's are refused by name") {
  const std::vector<std::pair<const char*, json>> refused = {
      {"moe_layer_freq", 2},      {"moe_layer_freq", {1, 0, 1, 1}}, {"first_k_dense_replace", 1},
      {"decoder_sparse_step", 2}, {"mlp_only_layers", {0}},         {"zero_expert_num", 2},
      {"swiglu_alpha", 1.702}};
  for (const auto& [key, value] : refused) {
    INFO(value);
    CHECK_THAT(error_with(key, value), StartsWith("config.json: " + std::string(key) + ": "));
    CHECK(error_with(key, nullptr) == "no error");
  }
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, json>>{{"moe_layer_freq", 1},
                                                 {"moe_layer_freq", {1, 1, 0}},
                                                 {"first_k_dense_replace", 0},
                                                 {"n_group", 8},
                                                 {"topk_group", 4},
                                                 {"topk_method", "noaux_tc"}}) {
    CHECK(error_with(key, value) == "no error");
  }
  json config = base();
  config["quantization_config"] = {{"quant_method", "fp8"}};
  config["expert_dtype"] = "fp4";
  CHECK(parse_config_file(config.dump(), "f").quantised_keys ==
        std::vector<std::string>{"quantization_config", "expert_dtype"});
}
