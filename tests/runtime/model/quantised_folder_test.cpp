// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/safetensors.hpp"
#include "hashep/error.hpp"
#include "runtime/model/expand_ffn.hpp"
#include "runtime/model/model_folder.hpp"
#include "runtime/model/weight_sample.hpp"
#include "tests/runtime/model/small_model.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using namespace hashep::test;

namespace {

constexpr int64_t kHidden = 96;  // three blocks of FP4's scales
constexpr int64_t kFfn = 64;
constexpr int64_t kExperts = 3;

struct Stored {
  std::string dtype;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};
using Folder = std::map<std::string, Stored>;

/// Bytes that follow from a name; scales near 1, codes that are no NaN.
std::vector<std::byte> bytes_for(const std::string& name, int64_t count, bool are_scales) {
  std::vector<std::byte> bytes(static_cast<size_t>(count));
  size_t state = std::hash<std::string>{}(name);
  for (std::byte& byte : bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const auto drawn = static_cast<unsigned>(state >> 40);
    byte = static_cast<std::byte>(are_scales ? 122 + drawn % 7 : drawn % 256);
    if (!are_scales && (byte & std::byte{0x7f}) == std::byte{0x7f}) byte = std::byte{0x11};
  }
  return bytes;
}

/// Codes and scales of a matrix of FP4.
void add_fp4(Folder& folder, const std::string& name, int64_t rows, int64_t cols) {
  folder[name + ".weight"] = {"I8", {rows, cols / 2}, bytes_for(name, rows * cols / 2, false)};
  const int64_t scales = (cols + 31) / 32;
  folder[name + ".scale"] = {"F8_E8M0", {rows, scales}, bytes_for(name, rows * scales, true)};
}

Folder unfused() {
  Folder folder;
  for (int64_t expert = 0; expert < kExperts; ++expert) {
    const std::string name = "layers.0.ffn.experts." + std::to_string(expert);
    add_fp4(folder, name + ".w1", kFfn, kHidden);
    add_fp4(folder, name + ".w3", kFfn, kHidden);
    add_fp4(folder, name + ".w2", kHidden, kFfn);
  }
  return folder;
}

void append(std::vector<std::byte>& to, const std::vector<std::byte>& bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

/// The same as transformers has it: all experts in one tensor, w1 above w3.
Folder fused() {
  const Folder parts = unfused();
  Folder folder;
  const std::string prefix = "model.layers.0.mlp.experts.";
  for (const std::string part : {"weight", "scale"}) {
    const std::string ending = part == "weight" ? "" : "_scale_inv";
    const auto& first = parts.at("layers.0.ffn.experts.0.w1." + part);
    const auto& down = parts.at("layers.0.ffn.experts.0.w2." + part);
    Stored& gate_up = folder[prefix + "gate_up_proj" + ending];
    Stored& down_proj = folder[prefix + "down_proj" + ending];
    gate_up = {first.dtype, {kExperts, 2 * kFfn, first.shape[1]}, {}};
    down_proj = {down.dtype, {kExperts, kHidden, down.shape[1]}, {}};
    for (int64_t expert = 0; expert < kExperts; ++expert) {
      const std::string name = "layers.0.ffn.experts." + std::to_string(expert);
      append(gate_up.bytes, parts.at(name + ".w1." + part).bytes);
      append(gate_up.bytes, parts.at(name + ".w3." + part).bytes);
      append(down_proj.bytes, parts.at(name + ".w2." + part).bytes);
    }
  }
  return folder;
}

void write_folder(const TempDir& dir, Folder tensors, nlohmann::json quantisation = nullptr) {
  Stored& table = tensors["layers.0.ffn.gate.tid2eid"];
  table = {"I32", {4, 1}, std::vector<std::byte>(16)};
  nlohmann::json header;
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const size_t begin = data.size();
    data.append(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
    header[name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  std::ofstream(dir.file("model.safetensors"), std::ios::binary)
      << pad_safetensors_header(header.dump()) << data;
  const nlohmann::json config = {{"num_hash_layers", 1},
                                 {"hidden_size", kHidden},
                                 {"moe_intermediate_size", kFfn},
                                 {"n_routed_experts", kExperts},
                                 {"num_experts_per_tok", 1},
                                 {"vocab_size", 4},
                                 {"hidden_act", "silu"},
                                 {"swiglu_limit", 0},
                                 {"quantization_config", quantisation}};
  write_text(dir.file("config.json"), config.dump());
}

std::string error_of(const Folder& tensors, const nlohmann::json& quantisation = nullptr) {
  const TempDir dir;
  write_folder(dir, tensors, quantisation);
  try {
    const ModelFolder model(dir.path());
    model.routed_expert(0, 1);
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

std::vector<std::byte> bytes_of(ConstMatrixView view) {
  return {view.data, view.data + view.bytes()};
}

}  // namespace

TEST_CASE("fused and unfused quantised experts are the same, and read by parts") {
  const TempDir one;
  const TempDir two;
  write_folder(one, unfused());
  write_folder(two, fused());
  const ModelFolder plain(one.path());
  const ModelFolder stacked(two.path());
  CHECK(plain.weight_types().routed == std::set<std::string>{"fp4"});
  CHECK(plain.weight_types().are_quantised());
  CHECK(plain.unused_tensors().empty());
  CHECK(stacked.unused_tensors().empty());
  CHECK(plain.shape_digest() == stacked.shape_digest());
  for (int64_t expert = 0; expert < kExperts; ++expert) {
    const LoadedFfn packed = plain.routed_expert(0, expert);
    CHECK(packed.weights.w1.rows == 0);
    CHECK(packed.weights.quantised.w1.format == QuantFormat::fp4_e2m1);
    CHECK(content_digest(packed.weights) ==
          content_digest(stacked.routed_expert(0, expert).weights));
    const uint64_t sample = weight_sample(packed.weights, 0, expert);
    const LoadedFfn a = expanded(plain.routed_expert(0, expert));
    const LoadedFfn b = expanded(stacked.routed_expert(0, expert));
    CHECK(a.weights.quantised.w1.rows == 0);
    CHECK(a.weights.w1.dtype == DType::bf16);
    CHECK(bytes_of(a.weights.w1) == bytes_of(b.weights.w1));
    CHECK(bytes_of(a.weights.w2) == bytes_of(b.weights.w2));
    CHECK(bytes_of(a.weights.w3) == bytes_of(b.weights.w3));
    CHECK(bytes_of(a.weights.w1) != bytes_of(a.weights.w3));
    // A rank that has not read the expert compares the same rows.
    CHECK(weight_sample(a.weights, 0, expert) == sample);
    CHECK(plain.sample_expert(0, expert) == sample);
    CHECK(stacked.sample_expert(0, expert) == sample);
  }
}

TEST_CASE("quantised tensors that do not go together are told in a line") {
  const std::string w1 = "layers.0.ffn.experts.1.w1";
  const auto with = [&](const std::function<void(Folder&)>& spoil) {
    Folder folder = unfused();
    spoil(folder);
    return error_of(folder);
  };
  CHECK(error_of(unfused()) == "no error");
  CHECK_THAT(with([&](Folder& f) { f.erase(w1 + ".scale"); }),
             ContainsSubstring("no tensor \"" + w1 + ".scale\""));
  CHECK_THAT(with([&](Folder& f) { f[w1 + ".scale"].dtype = "U8"; }),
             ContainsSubstring("dtype \"U8\", expected F8_E8M0 or F32"));
  CHECK_THAT(with([&](Folder& f) {
               f[w1 + ".scale"] = {"F32", {kFfn, 3}, std::vector<std::byte>(kFfn * 12)};
             }),
             ContainsSubstring("FP4 has scales of F8_E8M0"));
  CHECK_THAT(with([&](Folder& f) {
               f[w1 + ".scale"].shape = {3, kFfn};
             }),
             ContainsSubstring("shape [3, 64], expected [64, 3] (blocks of 1 x 32)"));
  CHECK_THAT(with([&](Folder& f) {
               f[w1 + ".weight"].shape = {kHidden / 2, kFfn};
             }),
             ContainsSubstring("shape [48, 64], expected [64, 48] (of fp4)"));
  CHECK_THAT(with([&](Folder& f) { f[w1 + ".weight"].bytes.pop_back(); }),
             ContainsSubstring("shape [64, 48] in 3071 bytes"));
  CHECK_THAT(with([&](Folder& f) { f[w1 + ".scale"].bytes[5] = std::byte{255}; }),
             ContainsSubstring("\"" + w1 + ".scale\": the scale at [1, 2] is NaN or infinite"));
  CHECK_THAT(with([&](Folder& f) { f[w1 + ".weight"].dtype = "F6_E3M2"; }),
             ContainsSubstring("dtype \"F6_E3M2\", expected F32, F16, BF16, F8_E4M3, or FP4"));
}

TEST_CASE("what config.json says of quantised weights is heeded") {
  CHECK(error_of(unfused(), {{"quant_method", "fp8"}, {"fmt", "e4m3"}}) == "no error");
  CHECK_THAT(error_of(unfused(), {{"quant_method", "gptq"}}),
             ContainsSubstring("quantization_config.quant_method is \"gptq\", not fp8"));
  CHECK_THAT(error_of(unfused(), {{"weight_block_size", {128}}}),
             ContainsSubstring("weight_block_size has to be two positive integers"));
  CHECK_THAT(error_of(unfused(), {{"weight_block_size", {128, 0}}}),
             ContainsSubstring("weight_block_size has to be two positive integers"));

  // FP8 w1 and w3 in one tensor, whose blocks of 48 rows would hold rows of both.
  Folder fp8;
  for (const auto& [name, rows, cols] : {std::tuple("experts.gate_up_proj", 2 * kFfn, kHidden),
                                         std::tuple("experts.w2", kHidden, kFfn)}) {
    const std::string tensor = std::string("layers.0.ffn.") + name;
    const int64_t blocks = (rows + 47) / 48 * ((cols + 47) / 48);
    fp8[tensor + ".weight"] = {
        "F8_E4M3", {kExperts, rows, cols}, bytes_for(tensor, kExperts * rows * cols, false)};
    fp8[tensor + ".scale"] = {"F8_E8M0",
                              {kExperts, (rows + 47) / 48, (cols + 47) / 48},
                              bytes_for(tensor, kExperts * blocks, true)};
  }
  CHECK_THAT(error_of(fp8, {{"weight_block_size", {48, 48}}}),
             ContainsSubstring("w3 begins within a block of scales"));
  CHECK_THAT(error_of(fp8), ContainsSubstring("expected [3, 1, 1] (blocks of 128 x 128)"));
}
