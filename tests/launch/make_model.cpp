// SPDX-License-Identifier: Apache-2.0
// Makes the files that the tests of the program read: a small DeepSeek-V4-shaped model folder, a
// table, hidden states. --defect spoils them in one known way.
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "core/atomic_file.hpp"
#include "core/input_file.hpp"
#include "core/random.hpp"
#include "tests/support/tensor_files.hpp"

namespace {

using hashep::DType;
using hashep::test::TensorData;
using Tensors = std::map<std::string, TensorData>;

struct Options {
  std::string output;
  std::string dtype = "fp32";
  std::string defect = "none";
  int64_t layers = 2;
  int64_t learned = 0;  // layers behind them, with a gate that chooses
  int64_t hidden = 32;
  int64_t ffn = 16;
  int64_t experts = 10;
  int64_t top_k = 2;
  int64_t vocab = 64;
  int64_t rows = 32;
  uint64_t seed = 1;
};

DType weight_dtype(const Options& options) {
  return options.dtype == "bf16" ? DType::bf16 : DType::f32;
}

/// A matrix of seeded normal values over sqrt(cols).
TensorData matrix(const Options& options, const std::string& name, int64_t rows, int64_t cols) {
  uint64_t key = options.seed;
  for (const char letter : name) key = hashep::derive_key(key, static_cast<uint64_t>(letter));
  std::vector<float> values(rows * cols);
  hashep::fill_normal(key, 0, values);
  for (float& value : values) value /= std::sqrt(static_cast<float>(cols));
  if (options.defect == "nan " + name) values[1] = std::numeric_limits<float>::quiet_NaN();
  if (options.defect == "inf " + name) values[1] = std::numeric_limits<float>::infinity();
  if (options.defect == "late nan " + name) values.back() = std::numeric_limits<float>::quiet_NaN();
  if (options.defect == "huge " + name) values[1] = std::numeric_limits<float>::max();
  if (options.defect == "other " + name) {
    for (float& value : values) value = -value;
  }
  if (options.defect == "misshapen " + name) std::swap(rows, cols);
  return hashep::test::float_tensor(weight_dtype(options), {rows, cols}, values);
}

/// Row v holds experts v * 7 + seed, ... : distinct, and different for another seed.
TensorData table(const Options& options) {
  std::vector<int64_t> experts;
  for (int64_t id = 0; id < options.vocab; ++id) {
    const int64_t first = id * 7 + static_cast<int64_t>(options.seed);
    for (int64_t j = 0; j < options.top_k; ++j) experts.push_back((first + j) % options.experts);
  }
  if (options.defect == "repeated expert") experts[3] = experts[2];
  if (options.defect == "expert out of range") experts[2] = options.experts;
  if (options.defect == "negative expert") experts[2] = -1;
  return hashep::test::integer_tensor(DType::i64, {options.vocab, options.top_k}, experts);
}

Tensors model_tensors(const Options& options) {
  Tensors tensors;
  const auto add = [&](const std::string& name, int64_t rows, int64_t cols) {
    if (options.defect != "missing " + name) tensors[name] = matrix(options, name, rows, cols);
  };
  const auto add_ffn = [&](const std::string& name) {
    add(name + ".w1.weight", options.ffn, options.hidden);
    add(name + ".w2.weight", options.hidden, options.ffn);
    add(name + ".w3.weight", options.ffn, options.hidden);
  };
  for (int64_t layer = 0; layer < options.layers + options.learned; ++layer) {
    const std::string prefix = "layers." + std::to_string(layer) + ".ffn.";
    if (layer < options.layers) {
      tensors[prefix + "gate.tid2eid"] = table(options);
    } else {
      const TensorData bias = matrix(options, prefix + "gate.bias", 1, options.experts);
      tensors[prefix + "gate.bias"] = {bias.dtype, {options.experts}, bias.bytes};
    }
    add(prefix + "gate.weight", options.experts, options.hidden);
    for (int64_t expert = 0; expert < options.experts; ++expert) {
      add_ffn(prefix + "experts." + std::to_string(expert));
    }
    add_ffn(prefix + "shared_experts");
  }
  return tensors;
}

std::string config_text(const Options& options) {
  const auto line = [](const char* key, int64_t value) {
    return "  \"" + std::string(key) + "\": " + std::to_string(value) + ",\n";
  };
  return "{\n" + line("hidden_size", options.hidden) + line("moe_intermediate_size", options.ffn) +
         line("n_routed_experts", options.experts) + line("n_shared_experts", 1) +
         line("num_experts_per_tok", options.top_k) + line("num_hash_layers", options.layers) +
         line("vocab_size", options.vocab) +
         (options.learned > 0 ? line("num_hidden_layers", options.layers + options.learned) +
                                    "  \"topk_method\": \"noaux_tc\",\n"
                              : "") +
         "  \"scoring_func\": \"sqrtsoftplus\",\n  \"routed_scaling_factor\": 1.5,\n"
         "  \"norm_topk_prob\": true,\n  \"swiglu_limit\": 10.0,\n  \"hidden_act\": \"silu\"\n}\n";
}

/// Spoils the bytes of a safetensors file.
void spoil_file(const std::string& path, const std::string& defect) {
  std::vector<std::byte> bytes = hashep::read_file(path);
  if (defect == "truncated") bytes.resize(bytes.size() - 4);
  if (defect == "lying header length") bytes[6] = std::byte{0x7f};
  if (defect == "overlapping tensors") {
    // The second tensor is said to begin where the first does.
    std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const size_t first = text.find("data_offsets\":[0,");
    const size_t second =
        text.find("data_offsets\":[", first + 1) + std::strlen("data_offsets\":[");
    for (size_t i = second; text[i] != ','; ++i) bytes[i] = std::byte{'0'};
  }
  hashep::write_file_atomically(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void make_model(const Options& options) {
  std::filesystem::create_directories(options.output);
  const std::string folder = options.output + "/";
  hashep::write_file_atomically(folder + "config.json", config_text(options));
  const std::string file = folder + "model.safetensors";
  hashep::test::write_safetensors(file, model_tensors(options));
  spoil_file(file, options.defect);
}

void make_hidden(const Options& options) {
  hashep::test::write_safetensors(
      options.output,
      {{"hidden_states", matrix(options, "hidden_states", options.rows, options.hidden)}});
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Makes input files for tests");
  app.require_subcommand(1);
  app.add_option("--output", options.output)->required();
  app.add_option("--dtype", options.dtype);
  app.add_option("--defect", options.defect);
  app.add_option("--layers", options.layers);
  app.add_option("--learned", options.learned);
  app.add_option("--hidden", options.hidden);
  app.add_option("--ffn", options.ffn);
  app.add_option("--experts", options.experts);
  app.add_option("--top-k", options.top_k);
  app.add_option("--vocab", options.vocab);
  app.add_option("--rows", options.rows);
  app.add_option("--seed", options.seed);
  app.add_subcommand("model")->fallthrough()->callback([&] { make_model(options); });
  app.add_subcommand("hidden")->fallthrough()->callback([&] { make_hidden(options); });
  app.add_subcommand("table")->fallthrough()->callback([&] {
    hashep::test::write_safetensors(options.output, {{"tid2eid", table(options)}});
  });
  try {
    app.parse(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make_model: %s\n", error.what());
    return 1;
  }
  return 0;
}
