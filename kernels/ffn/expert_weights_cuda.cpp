// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn/expert_weights_cuda.hpp"

#include <algorithm>
#include <string>

#include "hashep/error.hpp"
#include "kernels/gemm/fused_gemm.hpp"

namespace hashep {
namespace {

constexpr int64_t kStagedElements = int64_t{1} << 22;  // converted at once: 8 or 16 MiB

}  // namespace

DeviceExpertWeights::DeviceExpertWeights(const FfnShape& shape, DType dtype, int64_t num_experts,
                                         WeightOrder order)
    : shape_(shape),
      dtype_(dtype),
      order_(order),
      first_cols_(shape.activation == Activation::silu ? 2 * shape.ffn_size : shape.ffn_size),
      experts_(num_experts) {
  if (dtype != DType::f32 && dtype != DType::bf16) {
    throw InputError("expert FFN: dtype " + std::string(dtype_name(dtype)) +
                     ", expected fp32 or bf16");
  }
  const int64_t size = dtype_size(dtype);
  first_.reserve(num_experts * first_cols_ * shape.hidden_size * size);
  second_.reserve(num_experts * shape.hidden_size * shape.ffn_size * size);
}

void DeviceExpertWeights::set(int64_t expert, const FfnWeights& weights) {
  if (expert < 0 || expert >= std::ssize(experts_)) {
    throw RunError("set_expert: no expert " + std::to_string(expert) + " among " +
                   std::to_string(experts_.size()));
  }
  check_weights(shape_, weights, expert);
  auto* const first = const_cast<std::byte*>(this->first(expert));
  if (shape_.activation == Activation::silu && order_ == WeightOrder::in_blocks) {
    upload(in_blocks(weights.w1, weights.w3), dtype_, first);
  } else {
    upload(rows_of(weights.w1), dtype_, first);
    const int64_t bytes = shape_.ffn_size * shape_.hidden_size * dtype_size(dtype_);
    if (weights.w3.rows > 0) upload(rows_of(weights.w3), dtype_, first + bytes);
  }
  upload(rows_of(weights.w2), dtype_, const_cast<std::byte*>(second(expert)));
  const ConstMatrixView biases[] = {weights.bias1, weights.bias3, weights.bias2};
  Expert& entry = experts_[expert];
  for (int which = 0; which < 3; ++which) {
    if (biases[which].rows == 0) continue;
    biases_.reserve(std::ssize(experts_) * (2 * shape_.ffn_size + shape_.hidden_size) *
                    dtype_size(DType::f32));
    upload(rows_of(biases[which]), DType::f32, bias_place(expert, which));
    entry.has_bias[which] = true;
  }
  entry.is_set = true;
}

void DeviceExpertWeights::require(int64_t expert) const {
  if (expert >= 0 && expert < std::ssize(experts_) && experts_[expert].is_set) return;
  throw RunError("expert FFN: expert " + std::to_string(expert) + " has rows and no weights");
}

const std::byte* DeviceExpertWeights::first(int64_t expert) const {
  return first_.data() + expert * first_cols_ * shape_.hidden_size * dtype_size(dtype_);
}

const std::byte* DeviceExpertWeights::second(int64_t expert) const {
  return second_.data() + expert * shape_.ffn_size * shape_.hidden_size * dtype_size(dtype_);
}

std::byte* DeviceExpertWeights::bias_place(int64_t expert, int which) const {
  const int64_t stride = 2 * shape_.ffn_size + shape_.hidden_size;
  return biases_.data() + (expert * stride + which * shape_.ffn_size) * dtype_size(DType::f32);
}

const float* DeviceExpertWeights::bias(int64_t expert, int which) const {
  if (!experts_[expert].has_bias[which]) return nullptr;
  return reinterpret_cast<const float*>(bias_place(expert, which));
}

DeviceExpertWeights::Rows DeviceExpertWeights::rows_of(ConstMatrixView matrix) {
  return {matrix.rows, matrix.cols, [matrix](int64_t i) { return matrix.slice(i, 1); }};
}

DeviceExpertWeights::Rows DeviceExpertWeights::in_blocks(ConstMatrixView gate, ConstMatrixView up) {
  return {2 * gate.rows, gate.cols, [gate, up](int64_t i) {
            const int64_t block = i / kGatedBlock;
            const int64_t row = block / 2 * kGatedBlock + i % kGatedBlock;
            return (block % 2 == 0 ? gate : up).slice(row, 1);
          }};
}

void DeviceExpertWeights::upload(const Rows& rows, DType dtype, std::byte* to) {
  const int64_t row_bytes = rows.cols * dtype_size(dtype);
  const int64_t staged = std::min(rows.count, std::max(int64_t{1}, kStagedElements / rows.cols));
  std::vector<float> values(rows.cols);
  staging_.reserve(staged * row_bytes);
  for (int64_t begin = 0; begin < rows.count; begin += staged) {
    const int64_t part = std::min(staged, rows.count - begin);
    for (int64_t i = 0; i < part; ++i) {
      const ConstMatrixView from = rows.row(begin + i);
      std::byte* const row = staging_.data() + i * row_bytes;
      if (from.dtype == dtype) {
        std::copy_n(from.data, row_bytes, row);
      } else {
        convert_to_float(from.dtype, from.data, rows.cols, values.data());
        convert_from_float(values.data(), rows.cols, dtype, row);
      }
    }
    copy_async(to + begin * row_bytes, staging_.data(), part * row_bytes, stream_);
    stream_.synchronize();
  }
}

int64_t DeviceExpertWeights::bytes() const {
  return first_.capacity() + second_.capacity() + biases_.capacity();
}

}  // namespace hashep
