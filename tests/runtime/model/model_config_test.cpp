// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/model_config.hpp"

#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "tests/runtime/model/small_model.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using nlohmann::json;

namespace {

json base() {
  return json::parse(test::small_config_json());
}

std::string error_of(const json& config) {
  try {
    parse_model_config(config.dump(), "config.json");
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
  const ModelConfig config = parse_model_config(test::small_config_json(), "config.json");
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
  const ModelConfig parsed = parse_model_config(config.dump(), "f");
  CHECK(parsed.router == RouterKind::bigram);
  CHECK(parsed.router_seed == std::numeric_limits<uint64_t>::max());
}

TEST_CASE("optional keys may be missing or null") {
  for (const auto* key : {"n_shared_experts", "swiglu_limit", "routed_scaling_factor",
                          "scoring_func", "hidden_act", "hashep"}) {
    json config = base();
    config[key] = nullptr;
    const ModelConfig with_null = parse_model_config(config.dump(), "f");
    config.erase(key);
    CHECK(parse_model_config(config.dump(), "f") == with_null);
  }
  json config = base();
  for (const auto* key : {"n_shared_experts", "swiglu_limit", "scoring_func"}) config.erase(key);
  const ModelConfig parsed = parse_model_config(config.dump(), "f");
  CHECK(parsed.num_shared_experts == 0);
  CHECK(parsed.swiglu_limit == 0.0f);
  CHECK(parsed.score == Score::none);
}

TEST_CASE("a missing or impossible value is an input error that names file and key") {
  for (const std::string key : {"num_hash_layers", "hidden_size", "moe_intermediate_size",
                                "n_routed_experts", "num_experts_per_tok", "vocab_size"}) {
    json config = base();
    config.erase(key);
    CHECK(error_of(config) == "config.json: " + key + ": missing");
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
  for (const auto* key :
       {"num_hash_layers", "hidden_size", "moe_intermediate_size", "n_routed_experts"}) {
    config[key] = int64_t{1} << 20;
  }
  CHECK_THAT(error_of(config), ContainsSubstring("2^63 bytes"));
}

TEST_CASE("names are written as they are parsed") {
  for (const auto* name : {"relu", "gelu", "silu"}) {
    CHECK(activation_name(parse_activation(name)) == name);
  }
  for (const auto* name : {"none", "sqrtsoftplus"}) CHECK(score_name(parse_score(name)) == name);
  for (const auto* name : {"token", "position", "previous", "bigram", "table", "balanced"}) {
    CHECK(router_name(parse_router(name)) == name);
  }
  CHECK_THROWS_AS(parse_router(""), InputError);
}
