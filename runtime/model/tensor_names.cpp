// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/tensor_names.hpp"

#include <xxhash.h>

namespace hashep {

std::vector<FfnMatrix> ffn_matrices(const FfnShape& shape) {
  std::vector<FfnMatrix> matrices = {{"w1", shape.ffn_size, shape.hidden_size},
                                     {"w2", shape.hidden_size, shape.ffn_size}};
  if (shape.activation == Activation::silu) {
    matrices.push_back({"w3", shape.ffn_size, shape.hidden_size});
  }
  return matrices;
}

std::string layer_prefix(int64_t layer) {
  return "layers." + std::to_string(layer) + ".ffn.";
}

std::string table_name(int64_t layer) {
  return layer_prefix(layer) + "gate.tid2eid";
}

std::string gate_name(int64_t layer) {
  return layer_prefix(layer) + "gate.weight";
}

std::string gate_bias_name(int64_t layer) {
  return layer_prefix(layer) + "gate.bias";
}

std::string stacked_experts_name(int64_t layer) {
  return layer_prefix(layer) + "experts";
}

std::string routed_expert_name(int64_t layer, int64_t expert) {
  return stacked_experts_name(layer) + "." + std::to_string(expert);
}

std::string shared_experts_name(int64_t layer) {
  return layer_prefix(layer) + "shared_experts";
}

std::string weight_name(const std::string& ffn, std::string_view matrix) {
  return ffn + "." + std::string(matrix) + ".weight";
}

std::string bias_name(const std::string& ffn, std::string_view matrix) {
  return ffn + "." + std::string(matrix) + ".bias";
}

std::string scale_name(const std::string& weight) {
  constexpr std::string_view kWeight = "weight";
  return weight.substr(0, weight.size() - kWeight.size()) + "scale";
}

void ShapeDigest::add(const std::string& name, std::string_view type,
                      std::span<const int64_t> shape) {
  std::string line = name + " " + std::string(type);
  for (const int64_t length : shape) line += " " + std::to_string(length);
  value_ = XXH64(line.data(), line.size(), value_);
}

}  // namespace hashep
