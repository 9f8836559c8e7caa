// SPDX-License-Identifier: Apache-2.0
// Writes the seeds of the fuzz targets into FOLDER/{safetensors,npy,config,table}.seeds, and makes
// an empty .corpus folder beside each for what libFuzzer finds.
#include <array>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "core/atomic_file.hpp"
#include "core/npy.hpp"
#include "core/safetensors.hpp"
#include "tests/support/tensor_files.hpp"

namespace {

using namespace hashep;

void write_safetensors_seeds(const std::string& folder) {
  const std::array<float, 6> values = {0.0f, 1.0f, -2.0f, 0.5f, 3.0f, -0.25f};
  test::write_safetensors(folder + "/floats",
                          {{"a", test::float_tensor(DType::f16, {3, 2}, values)},
                           {"b", test::float_tensor(DType::bf16, {6}, values)},
                           {"c", test::float_tensor(DType::f32, {2, 3}, values)},
                           {"d", test::float_tensor(DType::f32, {0, 3}, {})}});
  test::write_safetensors(folder + "/none", {});
  const std::array<SafeTensorSpec, 1> scalar = {{{"scalar", DType::i64, {}}}};
  write_file_atomically(folder + "/metadata",
                        safetensors_header(scalar, {{"format", "pt"}}) + std::string(8, '\x01'));
  std::string skipped = R"({"e":{"dtype":"F8_E4M3","shape":[2,2],"data_offsets":[0,4]},)"
                        R"("f":{"dtype":"BOOL","shape":[1],"data_offsets":[4,5]}})";
  skipped.insert(0, std::string(1, static_cast<char>(skipped.size())) + std::string(7, '\0'));
  write_file_atomically(folder + "/skipped", skipped + "12345");
}

void write_npy_seeds(const std::string& folder) {
  const std::array<int32_t, 6> ids = {1, 2, 3, -1, 5, 6};
  write_npy(folder + "/1d", ids, std::array<int64_t, 1>{6});
  write_npy(folder + "/2d", ids, std::array<int64_t, 2>{2, 3});
  const std::string header = "{'descr': '<u8', 'fortran_order': True, 'shape': (), }";
  write_file_atomically(folder + "/v2", std::string("\x93NUMPY\x02\0", 8) +
                                            static_cast<char>(header.size()) +
                                            std::string(3, '\0') + header + "12345678");
}

void write_config_seeds(const std::string& folder) {
  const std::string sizes =
      R"({"num_hash_layers": 3, "hidden_size": 4096, "moe_intermediate_size": 2048,
          "n_routed_experts": 256, "num_experts_per_tok": 6, "vocab_size": 129280)";
  write_file_atomically(folder + "/least", sizes + "}");
  write_file_atomically(folder + "/all", sizes + R"(, "n_shared_experts": 1, "swiglu_limit": 10.0,
          "scoring_func": "sqrtsoftplus", "routed_scaling_factor": 1.5, "hidden_act": "gelu",
          "hashep": {"router": "bigram", "seed": 7}, "other": [null, {"x": -1e3}]})");
  write_file_atomically(folder + "/spellings",
                        R"({"text_config": {"mlp_layer_types": ["hash_moe", "moe"], "dim": 16,
          "moe_inter_dim": 8, "num_local_experts": 4, "n_activated_experts": 2, "vocab_size": 64},
          "score_func": "sqrtsoftplus", "route_scale": 1.5, "moe_layer_freq": [1, 1]})");
}

void write_table_seeds(const std::string& folder) {
  const std::array<int64_t, 8> experts = {0, 7, 3, 2, 1, 0, 6, 5};
  for (const DType dtype : {DType::i32, DType::i64}) {
    const std::string name(dtype_name(dtype));
    test::write_safetensors(folder + "/top2_" + name,
                            {{"tid2eid", test::integer_tensor(dtype, {4, 2}, experts)}});
    test::write_safetensors(folder + "/top1_" + name,
                            {{"a", test::integer_tensor(dtype, {8, 1}, experts)},
                             {"b", test::integer_tensor(dtype, {8}, experts)}});
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: fuzz_make_seeds FOLDER\n", stderr);
    return 2;
  }
  const auto make_folder = [&](const std::string& name) {
    std::filesystem::create_directories(argv[1] + ("/" + name + ".corpus"));
    const std::string folder = argv[1] + ("/" + name + ".seeds");
    std::filesystem::create_directories(folder);
    return folder;
  };
  write_safetensors_seeds(make_folder("safetensors"));
  write_npy_seeds(make_folder("npy"));
  write_config_seeds(make_folder("config"));
  write_table_seeds(make_folder("table"));
}
