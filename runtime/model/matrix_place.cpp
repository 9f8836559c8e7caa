// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/matrix_place.hpp"

#include <array>
#include <string_view>
#include <vector>

#include "core/quote.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

constexpr std::string_view kGateUp = "gate_up_proj";  // w1 above w3

/// A tensor that may hold a matrix of an expert.
struct Candidate {
  std::string name;
  std::vector<int64_t> shape;
  int64_t first_row = 0;  // of all the tensor's rows
};

std::vector<Candidate> candidates_for(const FfnPlace& ffn, const FfnMatrix& matrix) {
  const auto& [name, rows, cols] = matrix;
  std::vector<Candidate> candidates = {{weight_name(ffn.name, name), {rows, cols}, 0}};
  const bool is_stacked = !ffn.stack.empty();
  if (is_stacked) {
    candidates.push_back({weight_name(ffn.stack, name), {ffn.count, rows, cols}, ffn.index * rows});
  }
  if (name == "w2") return candidates;
  const int64_t below = name == "w3" ? rows : 0;
  candidates.push_back({weight_name(ffn.name, kGateUp), {2 * rows, cols}, below});
  if (is_stacked) {
    candidates.push_back({weight_name(ffn.stack, kGateUp),
                          {ffn.count, 2 * rows, cols},
                          ffn.index * 2 * rows + below});
  }
  return candidates;
}

/// A tensor of weights.
const SafeTensor& weights_at(const TensorPlace& place) {
  const auto& unreadable = place.file->contents().skipped;
  if (const auto found = unreadable.find(place.name); found != unreadable.end()) {
    throw InputError(place.text() + ": dtype " + quote(found->second.dtype) +
                     ", expected F32, F16 or BF16 (convert quantised weights first)");
  }
  const SafeTensor& tensor = place.file->at(place.name);
  if (tensor.dtype != DType::f32 && tensor.dtype != DType::f16 && tensor.dtype != DType::bf16) {
    throw InputError(place.text() + ": dtype " + std::string(dtype_name(tensor.dtype)) +
                     ", expected fp32, fp16 or bf16");
  }
  return tensor;
}

MatrixPlace whole(const TensorPlace& place, int64_t rows, int64_t cols) {
  const SafeTensor& tensor = weights_at(place);
  tensor.require_matrix(rows, cols, place.text());
  return {place, tensor.dtype, 0, rows, cols};
}

}  // namespace

MatrixPlace find_matrix(const ModelFiles& files, const FfnPlace& ffn, const FfnMatrix& matrix) {
  const std::vector<Candidate> candidates = candidates_for(ffn, matrix);
  std::optional<TensorPlace> found;
  const Candidate* which = nullptr;
  for (const Candidate& candidate : candidates) {
    const std::optional<TensorPlace> place = files.find(candidate.name);
    if (!place) continue;
    if (found) {
      throw InputError(found->text() + ": " + place->text() + " holds " + std::string(matrix.name) +
                       " of " + ffn.name + " too");
    }
    found = place;
    which = &candidate;
  }
  if (!found) found = files.at(candidates.front().name);  // throws
  const SafeTensor& tensor = weights_at(*found);
  if (tensor.shape != which->shape) {
    throw InputError(found->text() + ": shape " + shape_text(tensor.shape) + ", expected " +
                     shape_text(which->shape));
  }
  const int64_t first_byte = which->first_row * matrix.cols * dtype_size(tensor.dtype);
  return {*found, tensor.dtype, first_byte, matrix.rows, matrix.cols};
}

std::optional<MatrixPlace> find_bias(const ModelFiles& files, const FfnPlace& ffn,
                                     const FfnMatrix& matrix) {
  const auto place = files.find(bias_name(ffn.name, matrix.name));
  if (!place) return std::nullopt;
  return whole(*place, 1, matrix.rows);
}

MatrixPlace find_gate_bias(const ModelFiles& files, const ModelConfig& config, int64_t layer) {
  return whole(files.at(gate_bias_name(layer)), 1, config.num_experts);
}

MatrixPlace find_gate(const ModelFiles& files, const ModelConfig& config, int64_t layer) {
  return whole(files.at(gate_name(layer)), config.num_experts, config.hidden_size);
}

}  // namespace hashep
