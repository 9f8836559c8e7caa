// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/model/small_model.hpp"

#include <array>
#include <vector>

#include "core/atomic_file.hpp"

namespace hashep::test {

std::string small_config_json() {
  return R"({"model_type": "deepseek_v4", "num_hidden_layers": 4, "num_hash_layers": 2,
             "hidden_size": 6, "moe_intermediate_size": 5, "n_routed_experts": 3,
             "n_shared_experts": 2, "num_experts_per_tok": 2, "vocab_size": 7,
             "scoring_func": "sqrtsoftplus", "routed_scaling_factor": 1.5, "swiglu_limit": 10.0,
             "hidden_act": "silu", "norm_topk_prob": true})";
}

float small_weight(const std::string& name, int64_t index) {
  int64_t sum = 0;
  for (const char c : name) sum = (sum * 31 + c) % 1009;
  return static_cast<float>((sum + 5 * index) % 127 - 63);
}

Tensors small_tensors(DType dtype, const std::string& prefix) {
  Tensors tensors;
  const auto add = [&](const std::string& name, int64_t rows, int64_t cols) {
    std::vector<float> values(rows * cols);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = small_weight(name, static_cast<int64_t>(i));
    }
    tensors[prefix + name] = float_tensor(dtype, {rows, cols}, values);
  };
  const std::vector<int64_t> table = {0, 1, 1, 2, 2, 0, 1, 0, 2, 1, 0, 2, 0, 1};
  for (const std::string layer : {"layers.0.ffn.", "layers.1.ffn."}) {
    tensors[prefix + layer + "gate.tid2eid"] = integer_tensor(DType::i64, {7, 2}, table);
    add(layer + "gate.weight", 3, 6);
    for (const std::string expert : {"experts.0.", "experts.1.", "experts.2."}) {
      add(layer + expert + "w1.weight", 5, 6);
      add(layer + expert + "w2.weight", 6, 5);
      add(layer + expert + "w3.weight", 5, 6);
    }
    add(layer + "shared_experts.w1.weight", 10, 6);
    add(layer + "shared_experts.w2.weight", 6, 10);
    add(layer + "shared_experts.w3.weight", 10, 6);
  }
  // Parts of the model that are not ours.
  add("layers.0.attn.wq.weight", 2, 2);
  add("layers.2.ffn.experts.0.w1.weight", 5, 6);
  tensors[prefix + "layers.3.ffn.gate.other"] =
      integer_tensor(DType::i32, {1}, std::array{int64_t{1}});
  return tensors;
}

void write_text(const std::string& path, const std::string& text) {
  write_file_atomically(path, text);
}

void write_small_model(const TempDir& dir, const Tensors& tensors) {
  write_text(dir.file("config.json"), small_config_json());
  write_safetensors(dir.file("model.safetensors"), tensors);
}

}  // namespace hashep::test
