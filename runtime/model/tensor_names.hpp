// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/safetensors.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep {

/// The one place that knows the tensors of a model folder: names as DeepSeek has them, and shapes.
/// own_tensor_name knows other spellings.

/// One matrix of a feed-forward expert.
struct FfnMatrix {
  std::string_view name;  // w1, w2 or w3
  int64_t rows = 0;       // also the length of its bias
  int64_t cols = 0;       // its fan-in
};

/// w1, w2 and, with silu, w3.
std::vector<FfnMatrix> ffn_matrices(const FfnShape& shape);

/// "layers.{layer}.ffn.", with which the names of all tensors of a layer start.
std::string layer_prefix(int64_t layer);
std::string table_name(int64_t layer);
std::string gate_name(int64_t layer);
std::string gate_bias_name(int64_t layer);
/// What stands before ".w1.weight"; of all experts, where one tensor holds a matrix of each.
std::string stacked_experts_name(int64_t layer);
std::string routed_expert_name(int64_t layer, int64_t expert);
std::string shared_experts_name(int64_t layer);
std::string weight_name(const std::string& ffn, std::string_view matrix);
std::string bias_name(const std::string& ffn, std::string_view matrix);
/// Of the scales of a quantised tensor, from its name: ".scale" in place of ".weight".
std::string scale_name(const std::string& weight);

/// An XXH64 of names, types and shapes, in the order in which they are added.
class ShapeDigest {
 public:
  /// type: a dtype_name, or quant_format_name.
  void add(const std::string& name, std::string_view type, std::span<const int64_t> shape);
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0;
};

}  // namespace hashep
