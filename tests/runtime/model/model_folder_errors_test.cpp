// SPDX-License-Identifier: Apache-2.0
// Folders that cannot be read: each is one line that names file and tensor.
#include <array>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/load.hpp"
#include "hashep/error.hpp"
#include "runtime/model/model_folder.hpp"
#include "runtime/model/require_finite.hpp"
#include "tests/runtime/model/small_model.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using test::TempDir;
using test::Tensors;

namespace {

std::string error_of(const TempDir& dir) {
  try {
    const ModelFolder model(dir.path().string());
  } catch (const InputError& error) {
    const std::string text = error.what();
    CHECK(text.find('\n') == text.npos);
    return text;
  }
  return "no error";
}

std::string error_of(const Tensors& tensors) {
  const TempDir dir;
  write_small_model(dir, tensors);
  return error_of(dir);
}

std::string error_with_index(const nlohmann::json& index) {
  const TempDir dir;
  write_small_model(dir, test::small_tensors(DType::f32, ""));
  test::write_text(dir.file("model.safetensors.index.json"), index.dump());
  return error_of(dir);
}

/// An index that is right.
nlohmann::json good_index() {
  nlohmann::json index;
  for (const auto& [name, tensor] : test::small_tensors(DType::f32, "")) {
    index["weight_map"][name] = "model.safetensors";
  }
  return index;
}

}  // namespace

TEST_CASE("a missing folder, config or tensor file is an input error") {
  CHECK_THROWS_WITH(ModelFolder("no/such/model"), ContainsSubstring("no/such/model: not a folder"));
  const TempDir dir;
  CHECK_THAT(error_of(dir), ContainsSubstring("config.json: cannot read: "));
  test::write_text(dir.file("config.json"), test::small_config_json());
  CHECK_THAT(error_of(dir), ContainsSubstring("no *.safetensors file"));
  test::write_text(dir.file("config.json"), "{");
  CHECK_THAT(error_of(dir), ContainsSubstring("config.json: not valid JSON at line 1"));
}

TEST_CASE("each missing tensor is named") {
  const Tensors tensors = test::small_tensors(DType::f32, "");
  REQUIRE(error_of(tensors) == "no error");
  for (const std::string name :
       {"layers.0.ffn.gate.tid2eid", "layers.1.ffn.gate.weight", "layers.1.ffn.experts.2.w3.weight",
        "layers.0.ffn.shared_experts.w2.weight"}) {
    Tensors fewer = tensors;
    REQUIRE(fewer.erase(name) == 1);
    CHECK_THAT(error_of(fewer), ContainsSubstring("no tensor \"" + name + "\""));
  }
}

TEST_CASE("a tensor of wrong shape or dtype is named with both shapes") {
  const std::string w1 = "layers.1.ffn.experts.0.w1.weight";
  Tensors tensors = test::small_tensors(DType::f32, "model.");
  tensors["model." + w1].shape = {6, 5};
  CHECK_THAT(error_of(tensors), ContainsSubstring("model.safetensors: tensor \"model." + w1) &&
                                    ContainsSubstring("shape [6, 5], expected [5, 6]"));
  tensors = test::small_tensors(DType::f32, "");
  tensors[w1] = test::integer_tensor(DType::i32, {5, 6}, std::vector<int64_t>(30));
  CHECK_THAT(error_of(tensors), ContainsSubstring(w1) && ContainsSubstring("dtype i32"));
  const std::string table = "layers.0.ffn.gate.tid2eid";
  tensors = test::small_tensors(DType::f32, "");
  tensors[table].shape = {14};
  CHECK_THAT(error_of(tensors), ContainsSubstring(table) && ContainsSubstring("expected [7, 2]"));
  tensors[table] = test::float_tensor(DType::f32, {7, 2}, std::vector<float>(14));
  CHECK_THAT(error_of(tensors), ContainsSubstring(table) && ContainsSubstring("dtype fp32"));
  tensors = test::small_tensors(DType::f32, "");
  tensors["layers.0.ffn.experts.0.w1.bias"] =
      test::float_tensor(DType::f32, {6}, std::vector<float>(6));
  CHECK_THAT(error_of(tensors), ContainsSubstring("w1.bias") && ContainsSubstring("[1, 5]"));
}

TEST_CASE("a table with experts that do not exist is an input error") {
  Tensors tensors = test::small_tensors(DType::f32, "");
  std::vector<int64_t> experts = {0, 1, 1, 2, 2, 0, 1, 0, 2, 1, 0, 2, 0, 3};
  tensors["layers.0.ffn.gate.tid2eid"] = test::integer_tensor(DType::i32, {7, 2}, experts);
  const TempDir dir;
  write_small_model(dir, tensors);
  const ModelFolder model(dir.path().string());
  CHECK_THROWS_AS(model.table(0), InputError);
  CHECK_THROWS_WITH(model.table(0), ContainsSubstring("layers.0.ffn.gate.tid2eid"));
  CHECK_NOTHROW(model.table(1));
}

TEST_CASE("a tensor that stands in two files is an input error") {
  const TempDir dir;
  const Tensors tensors = test::small_tensors(DType::f32, "");
  write_small_model(dir, tensors);
  const std::string name = "layers.0.ffn.experts.0.w1.weight";
  test::write_safetensors(dir.file("again.safetensors"), {{"model." + name, tensors.at(name)}});
  CHECK_THAT(error_of(dir), ContainsSubstring(name) && ContainsSubstring("is also in") &&
                                ContainsSubstring("again.safetensors"));
}

TEST_CASE("the index decides which file a tensor is in, also where others hold it too") {
  const Tensors all = test::small_tensors(DType::f32, "");
  const std::string twice = "layers.0.ffn.experts.0.w1.weight";
  const std::string other = "layers.1.ffn.experts.0.w1.weight";
  for (const std::string name : {"a.safetensors", "z.safetensors"}) {  // opened first, and last
    const TempDir dir;
    Tensors older = all;
    older[twice] = test::float_tensor(DType::f32, {5, 6}, std::vector<float>(30, 99.0f));
    older["model." + twice] = older[twice];
    write_small_model(dir, older);
    test::write_safetensors(
        dir.file(name),
        {{twice, all.at(twice)},
         {other, test::float_tensor(DType::f32, {5, 6}, std::vector<float>(30, 98.0f))}});
    nlohmann::json index = good_index();
    index["weight_map"][twice] = name;
    test::write_text(dir.file("model.safetensors.index.json"), index.dump());
    const ModelFolder model(dir.path().string());
    for (const auto& [layer, tensor] : {std::pair{0, twice}, std::pair{1, other}}) {
      const LoadedFfn expert = model.routed_expert(layer, 0);
      CHECK(load<float>(expert.weights.w1.data) == test::small_weight(tensor, 0));
    }
    index["weight_map"]["model." + twice] = "model.safetensors";  // two spellings
    test::write_text(dir.file("model.safetensors.index.json"), index.dump());
    CHECK_THAT(error_of(dir), ContainsSubstring(" is also in ") && ContainsSubstring(", as \""));
  }
}

TEST_CASE("a key that is missing while a tensor needs it is named with the tensor") {
  const auto error_without = [](const char* key, const char* without_tensors) {
    Tensors tensors = test::small_tensors(DType::f32, "");
    std::erase_if(tensors, [&](const auto& item) {
      return item.first.find(without_tensors) != std::string::npos;
    });
    const TempDir dir;
    write_small_model(dir, tensors);
    nlohmann::json config = nlohmann::json::parse(test::small_config_json());
    config.erase(key);
    test::write_text(dir.file("config.json"), config.dump());
    return error_of(dir);
  };
  for (const auto& [key, tensor] : std::vector<std::pair<const char*, const char*>>{
           {"scoring_func", "layers.0.ffn.gate.weight"},
           {"routed_scaling_factor", "layers.0.ffn.gate.weight"},
           {"norm_topk_prob", "layers.0.ffn.gate.weight"},
           {"n_shared_experts", "layers.0.ffn.shared_experts.w1.weight"},
           {"hidden_act", "layers.0.ffn.experts.0.w1.weight"},
           {"swiglu_limit", "layers.0.ffn.experts.0.w3.weight"}}) {
    CHECK_THAT(error_without(key, "none"), ContainsSubstring("config.json: " + std::string(key) +
                                                             ": missing, though there is "
                                                             "\"" +
                                                             tensor + "\""));
  }
  CHECK(error_without("n_shared_experts", "shared_experts") == "no error");
  CHECK_THAT(error_without("scoring_func", "gate.weight"),
             ContainsSubstring("routed_scaling_factor: not 1, but scoring_func is none"));
}

TEST_CASE("a cut tensor file is an input error") {
  const TempDir dir;
  write_small_model(dir, test::small_tensors(DType::f32, ""));
  const auto path = dir.file("model.safetensors");
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  CHECK_THAT(error_of(dir),
             ContainsSubstring("model.safetensors: tensor") && ContainsSubstring("cut off"));
}

TEST_CASE("an index that lies or leaves the folder is an input error") {
  REQUIRE(error_with_index(good_index()) == "no error");
  const std::string name = "layers.0.ffn.experts.0.w1.weight";
  for (const nlohmann::json& file :
       {nlohmann::json("../model.safetensors"), nlohmann::json("/etc/passwd"), nlohmann::json(".."),
        nlohmann::json("."), nlohmann::json(""), nlohmann::json("a/b"), nlohmann::json(7),
        nlohmann::json(std::string("a\0b", 3))}) {
    nlohmann::json index = good_index();
    index["weight_map"][name] = file;
    INFO(file);
    CHECK_THAT(error_with_index(index), ContainsSubstring("index.json: weight_map: \"" + name) &&
                                            ContainsSubstring("is not the name of a file"));
  }
  nlohmann::json index = good_index();
  index["weight_map"][name] = "missing.safetensors";
  CHECK_THAT(error_with_index(index), ContainsSubstring("missing.safetensors: cannot read"));
  index = good_index();
  index["weight_map"]["layers.0.ffn.more"] = "model.safetensors";
  CHECK_THAT(error_with_index(index), ContainsSubstring("no tensor \"layers.0.ffn.more\"") &&
                                          ContainsSubstring("index.json"));
  index = good_index();
  index["weight_map"].erase(name);
  CHECK_THAT(error_with_index(index), ContainsSubstring("no tensor \"" + name + "\""));
  CHECK_THAT(error_with_index({{"weights", 1}}), ContainsSubstring("weight_map: missing"));
  CHECK_THAT(error_with_index({{"weight_map", 1}}), ContainsSubstring("weight_map: missing or"));
}

TEST_CASE("weights that are not finite are found with their place") {
  const std::string w2 = "layers.0.ffn.experts.1.w2.weight";
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
      const TempDir dir;
      Tensors tensors = test::small_tensors(dtype, "");
      std::vector<float> values(30, 1.0f);
      values[13] = bad;
      tensors[w2] = test::float_tensor(dtype, {6, 5}, values);
      write_small_model(dir, tensors);
      const ModelFolder model(dir.path().string());
      CHECK_NOTHROW(require_finite(model.routed_expert(0, 0).weights, "expert 0"));
      CHECK_THROWS_AS(require_finite(model.routed_expert(0, 1).weights, "expert 1"), InputError);
      CHECK_THROWS_WITH(require_finite(model.routed_expert(0, 1).weights, "expert 1"),
                        ContainsSubstring("expert 1 w2: ") && ContainsSubstring("at [2, 3]"));
    }
  }
}

TEST_CASE("the last of many weights is looked at") {
  std::vector<float> values(10'000, 1.0f);
  const ConstMatrixView matrix{std::as_bytes(std::span(values)).data(), DType::f32, 100, 100};
  CHECK_NOTHROW(require_finite(matrix, "gate"));
  values.back() = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH(require_finite(matrix, "gate"), ContainsSubstring("gate: inf at [99, 99]"));
  CHECK_THROWS_WITH(require_finite(matrix, "rows", DType::f32, 7),
                    ContainsSubstring("rows: inf at [106, 99]"));
  const float huge = std::numeric_limits<float>::max();
  const ConstMatrixView one{reinterpret_cast<const std::byte*>(&huge), DType::f32, 1, 1};
  CHECK_NOTHROW(require_finite(one, "gate"));
  CHECK_THROWS_WITH(require_finite(one, "gate", DType::bf16),
                    ContainsSubstring("at [0, 0], which bf16 cannot hold"));
}
