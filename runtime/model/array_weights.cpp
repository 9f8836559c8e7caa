// SPDX-License-Identifier: Apache-2.0
#include "hashep/array_weights.hpp"

#include <string>
#include <utility>

#include "hashep/error.hpp"

namespace hashep {
namespace {

[[noreturn]] void refuse(const std::string& what, int64_t layer) {
  throw InputError("layer " + std::to_string(layer) + ": no weights were given for " + what);
}

LoadedMatrix as_floats(ConstMatrixView given, const std::string& what, int64_t layer) {
  if (given.data == nullptr) refuse(what, layer);
  LoadedMatrix loaded;
  const int64_t count = given.rows * given.cols;
  loaded.owned.reserve(count * dtype_size(DType::f32));
  convert_to_float(given.dtype, given.data, count, reinterpret_cast<float*>(loaded.owned.data()));
  loaded.view = loaded.owned.matrix(DType::f32, given.rows, given.cols);
  return loaded;
}

}  // namespace

ArrayWeights::ArrayWeights(Functions functions) : functions_(std::move(functions)) {
  if (!functions_.routed_expert) throw InputError("no function was given for routed experts");
}

ArrayWeights::ArrayWeights(std::vector<std::vector<FfnWeights>> experts) {
  functions_.routed_expert = [experts = std::move(experts)](int64_t layer, int64_t expert) {
    if (layer >= std::ssize(experts) || expert >= std::ssize(experts[layer])) {
      refuse("expert " + std::to_string(expert), layer);
    }
    return experts[layer][expert];
  };
}

LoadedFfn ArrayWeights::routed_expert(int64_t layer, int64_t expert) const {
  return {functions_.routed_expert(layer, expert)};
}

LoadedFfn ArrayWeights::shared_experts(int64_t layer) const {
  if (!functions_.shared_experts) refuse("the shared experts", layer);
  return {functions_.shared_experts(layer)};
}

LoadedMatrix ArrayWeights::gate(int64_t layer) const {
  if (!functions_.gate) refuse("the gate", layer);
  return as_floats(functions_.gate(layer), "the gate", layer);
}

LoadedMatrix ArrayWeights::gate_bias(int64_t layer) const {
  if (!functions_.gate_bias) refuse("the gate's bias", layer);
  return as_floats(functions_.gate_bias(layer), "the gate's bias", layer);
}

}  // namespace hashep
