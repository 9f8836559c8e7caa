// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/model_folder.hpp"
#include "runtime/model/model_tables.hpp"

#include <nlohmann/json.hpp>
#include <set>

#include "hashep/error.hpp"
#include "runtime/model/weight_sample.hpp"
#include "tests/runtime/model/small_model.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using test::TempDir;
using test::Tensors;

namespace {

/// Checks the shape of a view, and each element against small_weight.
void check_weights(const ConstMatrixView& view, const std::string& name, int64_t rows,
                   int64_t cols) {
  INFO(name);
  REQUIRE(view.rows == rows);
  REQUIRE(view.cols == cols);
  std::vector<float> values(rows * cols);
  convert_to_float(view.dtype, view.data, rows * cols, values.data());
  int64_t wrong = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    wrong += values[i] == test::small_weight(name, static_cast<int64_t>(i)) ? 0 : 1;
  }
  CHECK(wrong == 0);
}

/// A sample read from files is that of what is read whole, and no two experts have the same.
void check_samples(const ModelFolder& model) {
  std::set<uint64_t> samples;
  for (const int64_t layer : {0, 1}) {
    for (int64_t expert = 0; expert < 3; ++expert) {
      const auto sample = model.sample_expert(layer, expert);
      CHECK(sample == weight_sample(model.routed_expert(layer, expert).weights, layer, expert));
      samples.insert(sample.value());
    }
  }
  CHECK(samples.size() == 6);
}

void check_small_model(const ModelFolder& model, DType dtype) {
  check_samples(model);
  for (const int64_t layer : {0, 1}) {
    const std::string prefix = "layers." + std::to_string(layer) + ".ffn.";
    for (int64_t expert = 0; expert < 3; ++expert) {
      const std::string name = prefix + "experts." + std::to_string(expert);
      const LoadedFfn ffn = model.routed_expert(layer, expert);
      check_weights(ffn.weights.w1, name + ".w1.weight", 5, 6);
      check_weights(ffn.weights.w2, name + ".w2.weight", 6, 5);
      check_weights(ffn.weights.w3, name + ".w3.weight", 5, 6);
      CHECK(ffn.weights.w1.dtype == dtype);
      CHECK(ffn.weights.bias1.rows == 0);
    }
    const LoadedFfn shared = model.shared_experts(layer);
    check_weights(shared.weights.w1, prefix + "shared_experts.w1.weight", 10, 6);
    check_weights(shared.weights.w2, prefix + "shared_experts.w2.weight", 6, 10);
    check_weights(shared.weights.w3, prefix + "shared_experts.w3.weight", 10, 6);
    const LoadedMatrix gate = model.gate(layer);
    CHECK(gate.view.dtype == DType::f32);
    CHECK(reinterpret_cast<uintptr_t>(gate.view.data) % alignof(float) == 0);
    check_weights(gate.view, prefix + "gate.weight", 3, 6);
    const RoutingTable table = model.table(layer);
    CHECK(table.vocab_size == 7);
    CHECK(table.top_k == 2);
    CHECK(table.experts == std::vector<int32_t>{0, 1, 1, 2, 2, 0, 1, 0, 2, 1, 0, 2, 0, 1});
  }
}

/// Deals the tensors over `count` files and writes an index.
void write_sharded_model(const TempDir& dir, const Tensors& tensors, size_t count) {
  std::vector<Tensors> shards(count);
  nlohmann::json weight_map;
  size_t next = 0;
  for (const auto& [name, tensor] : tensors) {
    const size_t shard = next++ % count;
    shards[shard][name] = tensor;
    weight_map[name] = "part" + std::to_string(shard) + ".safetensors";
  }
  for (size_t i = 0; i < count; ++i) {
    write_safetensors(dir.file("part" + std::to_string(i) + ".safetensors"), shards[i]);
  }
  test::write_text(dir.file("config.json"), test::small_config_json());
  test::write_text(dir.file("model.safetensors.index.json"),
                   nlohmann::json{{"weight_map", weight_map}}.dump());
}

}  // namespace

TEST_CASE("a model in one file is read in every dtype and spelling of names") {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const std::string prefix : {"", "model."}) {
      const TempDir dir;
      write_small_model(dir, test::small_tensors(dtype, prefix));
      const ModelFolder model(dir.path().string());
      CHECK(model.config().num_layers == 2);
      check_small_model(model, dtype);
    }
  }
}

TEST_CASE("a sharded model is read with and without its index") {
  const TempDir dir;
  write_sharded_model(dir, test::small_tensors(DType::bf16, "model."), 3);
  const ModelFolder indexed(dir.path().string());
  check_small_model(indexed, DType::bf16);
  std::filesystem::remove(dir.file("model.safetensors.index.json"));
  const ModelFolder scanned(dir.path().string());
  check_small_model(scanned, DType::bf16);
  CHECK(indexed.shape_digest() == scanned.shape_digest());
}

TEST_CASE("with an index, files that only later layers need may be missing") {
  const TempDir dir;
  const Tensors all = test::small_tensors(DType::f32, "");
  Tensors ours;
  nlohmann::json weight_map;
  for (const auto& [name, tensor] : all) {
    const bool is_ours = name.starts_with("layers.0.ffn.") || name.starts_with("layers.1.ffn.");
    weight_map[name] = is_ours ? "a.safetensors" : "never-downloaded.safetensors";
    if (is_ours) ours[name] = tensor;
  }
  REQUIRE(ours.size() < all.size());
  write_safetensors(dir.file("a.safetensors"), ours);
  test::write_text(dir.file("config.json"), test::small_config_json());
  test::write_text(dir.file("model.safetensors.index.json"),
                   nlohmann::json{{"weight_map", weight_map}}.dump());
  check_small_model(ModelFolder(dir.path().string()), DType::f32);
}

TEST_CASE("for tables alone, files of weights may be missing") {
  const TempDir dir;
  Tensors tables;
  nlohmann::json weight_map;
  for (const auto& [name, tensor] : test::small_tensors(DType::f32, "model.")) {
    const bool is_table = name.ends_with(".tid2eid");
    weight_map[name] = is_table ? "tables.safetensors" : "never-downloaded.safetensors";
    if (is_table) tables[name] = tensor;
  }
  write_safetensors(dir.file("tables.safetensors"), tables);
  test::write_text(dir.file("config.json"), test::small_config_json());
  const std::string index = dir.file("model.safetensors.index.json");
  test::write_text(index, nlohmann::json{{"weight_map", weight_map}}.dump());
  const std::string path = dir.path().string();
  CHECK(ModelFolder(path, ModelParts::tables).table(1).experts.size() == 14);
  CHECK_THROWS_AS(ModelFolder(path), InputError);
  // Without the index the files that are there are what the folder has.
  std::filesystem::remove(index);
  CHECK(ModelFolder(path, ModelParts::tables).table(1).experts.size() == 14);
  CHECK_THROWS_AS(ModelFolder(path), InputError);
  CHECK(read_model_config(path).num_experts == 3);
}

TEST_CASE("tensors at odd places of a file are read") {
  const TempDir dir;
  Tensors tensors = test::small_tensors(DType::f32, "");
  // "a" comes first in the file, so that all others start at odd offsets.
  tensors["a"] = test::float_tensor(DType::bf16, {1}, std::array{1.0f});
  write_small_model(dir, tensors);
  const ModelFolder model(dir.path().string());
  const SafeTensorsFile file(dir.file("model.safetensors"));
  REQUIRE(file.at("layers.0.ffn.experts.0.w1.weight").offset % 4 == 2);
  check_small_model(model, DType::f32);
}

TEST_CASE("biases are optional, matrix by matrix") {
  const TempDir dir;
  Tensors tensors = test::small_tensors(DType::f32, "");
  const std::vector<float> values = {1, 2, 3, 4, 5};
  tensors["layers.0.ffn.experts.1.w1.bias"] = test::float_tensor(DType::f32, {5}, values);
  const TempDir plain_dir;
  write_small_model(plain_dir, test::small_tensors(DType::f32, ""));
  write_small_model(dir, tensors);
  const ModelFolder model(dir.path().string());
  const FfnWeights weights = model.routed_expert(0, 1).weights;
  REQUIRE(weights.bias1.rows == 1);
  REQUIRE(weights.bias1.cols == 5);
  CHECK(weights.bias2.rows == 0);
  CHECK(model.routed_expert(0, 0).weights.bias1.rows == 0);
  CHECK(model.shape_digest() != ModelFolder(plain_dir.path().string()).shape_digest());
}

TEST_CASE("without silu there is no w3, without shared experts they are empty") {
  const TempDir dir;
  Tensors tensors = test::small_tensors(DType::f32, "");
  std::erase_if(tensors, [](const auto& item) {
    return item.first.find("w3") != std::string::npos ||
           item.first.find("shared") != std::string::npos ||
           item.first.find("gate") != std::string::npos;
  });
  write_safetensors(dir.file("a.safetensors"), tensors);
  nlohmann::json config = nlohmann::json::parse(test::small_config_json());
  config["hidden_act"] = "relu";
  config["n_shared_experts"] = 0;
  config["swiglu_limit"] = 0.0;
  config["scoring_func"] = "none";
  config["routed_scaling_factor"] = 1.0;
  config["hashep"] = {{"router", "token"}};
  test::write_text(dir.file("config.json"), config.dump());
  const ModelFolder model(dir.path().string());
  CHECK(model.routed_expert(1, 2).weights.w1.rows == 5);
  CHECK(model.routed_expert(1, 2).weights.w3.rows == 0);
  CHECK(model.shared_experts(0).weights.w1.rows == 0);
}

TEST_CASE("the digest tells shapes and dtypes apart and not files or values") {
  const TempDir f32;
  const TempDir bf16;
  const TempDir renamed;
  write_small_model(f32, test::small_tensors(DType::f32, ""));
  write_small_model(bf16, test::small_tensors(DType::bf16, ""));
  Tensors other = test::small_tensors(DType::f32, "model.");
  other["model.layers.0.ffn.experts.0.w1.weight"] =
      test::float_tensor(DType::f32, {5, 6}, std::vector<float>(30, 9.0f));
  write_small_model(renamed, other);
  const uint64_t digest = ModelFolder(f32.path().string()).shape_digest();
  CHECK(digest != ModelFolder(bf16.path().string()).shape_digest());
  CHECK(digest == ModelFolder(renamed.path().string()).shape_digest());
}

namespace {

/// transformers' names, experts and shared experts fused, each matrix of `tensors` in its part.
Tensors fused(const Tensors& tensors, DType dtype) {
  Tensors result;
  const auto append = [&](const std::string& to, const std::string& from) {
    const auto& bytes = tensors.at(from).bytes;
    result[to].bytes.insert(result[to].bytes.end(), bytes.begin(), bytes.end());
  };
  for (const std::string layer : {"layers.0.", "layers.1."}) {
    const std::string own = layer + "ffn.";
    const std::string theirs = "model." + layer + "mlp.";
    for (const std::string name : {"gate.weight", "gate.tid2eid"}) {
      result[theirs + name] = tensors.at(own + name);
    }
    for (const std::string expert : {"0", "1", "2"}) {
      append(theirs + "experts.gate_up_proj", own + "experts." + expert + ".w1.weight");
      append(theirs + "experts.gate_up_proj", own + "experts." + expert + ".w3.weight");
      append(theirs + "experts.down_proj", own + "experts." + expert + ".w2.weight");
    }
    append(theirs + "shared_experts.gate_up_proj.weight", own + "shared_experts.w1.weight");
    append(theirs + "shared_experts.gate_up_proj.weight", own + "shared_experts.w3.weight");
    append(theirs + "shared_experts.down_proj.weight", own + "shared_experts.w2.weight");
    const auto shape = [&](const std::string& name, const std::vector<int64_t>& sizes) {
      result[theirs + name].dtype = dtype;
      result[theirs + name].shape = sizes;
    };
    shape("experts.gate_up_proj", {3, 10, 6});
    shape("experts.down_proj", {3, 6, 5});
    shape("shared_experts.gate_up_proj.weight", {20, 6});
    shape("shared_experts.down_proj.weight", {6, 10});
  }
  return result;
}

}  // namespace

TEST_CASE("fused experts are read in every dtype, each as its own matrices") {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    const TempDir dir;
    const TempDir plain;
    const Tensors tensors = test::small_tensors(dtype, "");
    write_small_model(dir, fused(tensors, dtype));
    write_small_model(plain, tensors);
    const ModelFolder model(dir.path().string());
    check_small_model(model, dtype);
    CHECK(model.unused_tensors().empty());
    CHECK(model.shape_digest() == ModelFolder(plain.path().string()).shape_digest());
  }
}

TEST_CASE("tensors of the hash-routed layers that nobody asks for are listed") {
  const TempDir dir;
  Tensors tensors = test::small_tensors(DType::f32, "");
  const std::vector<std::string> unused = {
      "layers.0.ffn.experts.0.w1.scale", "layers.0.ffn.gate.bias", "layers.1.mlp.other",
      "model.layers.2.mlp.gate.tid2eid", "layers.3.ffn.gate.tid2eid"};
  for (const std::string& name : unused) {
    tensors[name] = test::float_tensor(DType::f32, {1}, std::array{1.0f});
  }
  tensors["layers.0.attn.other"] = tensors[unused.front()];
  write_small_model(dir, tensors);
  const ModelFolder model(dir.path().string());
  const std::set<std::string> found(model.unused_tensors().begin(), model.unused_tensors().end());
  CHECK(found == std::set<std::string>(unused.begin(), unused.end()));
}
