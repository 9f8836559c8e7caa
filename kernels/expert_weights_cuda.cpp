// SPDX-License-Identifier: Apache-2.0
#include "kernels/expert_weights_cuda.hpp"

#include <algorithm>
#include <string>

#include "core/error.hpp"

namespace hashep {
namespace {

constexpr int64_t kStagedElements = int64_t{1} << 22;  // converted at once: 8 or 16 MiB

}  // namespace

DeviceExpertWeights::DeviceExpertWeights(const FfnShape& shape, DType dtype, int64_t num_experts)
    : shape_(shape),
      dtype_(dtype),
      first_cols_(shape.activation == Activation::silu ? 2 * shape.ffn_size : shape.ffn_size),
      experts_(static_cast<size_t>(num_experts)) {
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
  upload(weights.w1, dtype_, first);
  if (shape_.activation == Activation::silu) {
    upload(weights.w3, dtype_, first + first_cols_ / 2 * shape_.hidden_size * dtype_size(dtype_));
  }
  upload(weights.w2, dtype_, const_cast<std::byte*>(second(expert)));
  const ConstMatrixView biases[] = {weights.bias1, weights.bias3, weights.bias2};
  Expert& entry = experts_[static_cast<size_t>(expert)];
  for (int which = 0; which < 3; ++which) {
    if (biases[which].rows == 0) continue;
    biases_.reserve(std::ssize(experts_) * (2 * shape_.ffn_size + shape_.hidden_size) *
                    dtype_size(DType::f32));
    upload(biases[which], DType::f32, bias_place(expert, which));
    entry.has_bias[which] = true;
  }
  entry.is_set = true;
}

void DeviceExpertWeights::require(int64_t expert) const {
  if (expert >= 0 && expert < std::ssize(experts_) && experts_[static_cast<size_t>(expert)].is_set)
    return;
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
  if (!experts_[static_cast<size_t>(expert)].has_bias[which]) return nullptr;
  return reinterpret_cast<const float*>(bias_place(expert, which));
}

void DeviceExpertWeights::upload(ConstMatrixView matrix, DType dtype, std::byte* to) {
  const int64_t count = matrix.rows * matrix.cols;
  const bool is_copy = matrix.dtype == dtype;
  std::vector<float> values(is_copy ? 0 : static_cast<size_t>(std::min(count, kStagedElements)));
  staging_.reserve(std::min(count, kStagedElements) * dtype_size(dtype));
  for (int64_t begin = 0; begin < count; begin += kStagedElements) {
    const int64_t part = std::min(kStagedElements, count - begin);
    const std::byte* const from = matrix.data + begin * dtype_size(matrix.dtype);
    if (is_copy) {
      std::copy_n(from, part * dtype_size(dtype), staging_.data());
    } else {
      convert_to_float(matrix.dtype, from, part, values.data());
      convert_from_float(values.data(), part, dtype, staging_.data());
    }
    copy_async(to + begin * dtype_size(dtype), staging_.data(), part * dtype_size(dtype), stream_);
    stream_.synchronize();
  }
}

int64_t DeviceExpertWeights::bytes() const {
  return first_.capacity() + second_.capacity() + biases_.capacity();
}

}  // namespace hashep
