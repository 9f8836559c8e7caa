// SPDX-License-Identifier: Apache-2.0
#include "hashep/synthetic_weights.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/random.hpp"
#include "hashep/error.hpp"
#include "runtime/model/tensor_names.hpp"
#include "runtime/model/weight_sample.hpp"

namespace hashep {
namespace {

constexpr uint64_t kNoExpert = ~uint64_t{0};  // the tag of what is not one routed expert's
constexpr uint64_t kGateIndex = 3;            // behind w1, w2 and w3

class SyntheticWeights final : public WeightSource {
 public:
  SyntheticWeights(const StackShape& shape, DType dtype, uint64_t seed)
      : shape_(shape), dtype_(dtype), seed_(seed) {
    if (dtype != DType::f32 && dtype != DType::bf16) {
      throw InputError("synthetic weights: " + std::string(dtype_name(dtype)) +
                       " is neither fp32 nor bf16");
    }
  }

  LoadedFfn routed_expert(int64_t layer, int64_t expert) const override {
    return make_ffn(shape_.routed_shape(), layer, static_cast<uint64_t>(expert));
  }

  LoadedFfn shared_experts(int64_t layer) const override {
    if (shape_.num_shared_experts == 0) return {};
    return make_ffn(shape_.shared_shape(), layer, kNoExpert);
  }

  LoadedMatrix gate(int64_t layer) const override {
    LoadedMatrix gate;
    const Buffer stored = make_matrix(shape_.num_experts, shape_.hidden_size,
                                      matrix_key(layer, kNoExpert, kGateIndex));
    const int64_t count = shape_.num_experts * shape_.hidden_size;
    gate.owned.reserve(count * dtype_size(DType::f32));
    convert_to_float(dtype_, stored.data(), count, reinterpret_cast<float*>(gate.owned.data()));
    gate.view = gate.owned.matrix(DType::f32, shape_.num_experts, shape_.hidden_size);
    return gate;
  }

  LoadedMatrix gate_bias(int64_t layer) const override {
    static_cast<void>(layer);
    LoadedMatrix bias;
    bias.owned.reserve(shape_.num_experts * dtype_size(DType::f32));
    std::fill_n(bias.owned.data(), bias.owned.capacity(), std::byte{0});
    bias.view = bias.owned.matrix(DType::f32, 1, shape_.num_experts);
    return bias;
  }

  std::optional<uint64_t> sample_expert(int64_t layer, int64_t expert) const override {
    WeightSample sample(layer, expert);
    const std::vector<FfnMatrix> matrices = ffn_matrices(shape_.routed_shape());
    for (size_t i = 0; i < matrices.size(); ++i) {
      const auto& [name, rows, cols] = matrices[i];
      const uint64_t key = matrix_key(layer, static_cast<uint64_t>(expert), i);
      const int64_t width = cols;
      sample.add(dtype_, rows, cols, [&, width](int64_t row, std::span<std::byte> out) {
        std::vector<float> values(out.size() / static_cast<size_t>(dtype_size(dtype_)));
        fill_normal(key, row * width, values);
        const float deviation = 1.0f / std::sqrt(static_cast<float>(width));
        for (float& value : values) value *= deviation;
        convert_from_float(values.data(), std::ssize(values), dtype_, out.data());
      });
    }
    return sample.value();
  }

  uint64_t shape_digest() const override {
    ShapeDigest digest;
    const auto add_ffn = [&](const std::string& name, const FfnShape& shape) {
      for (const FfnMatrix& matrix : ffn_matrices(shape)) {
        digest.add(weight_name(name, matrix.name), dtype_name(dtype_),
                   std::array{matrix.rows, matrix.cols});
      }
    };
    for (int64_t layer = 0; layer < shape_.num_layers; ++layer) {
      if (shape_.has_gate_weights(layer)) {
        digest.add(gate_name(layer), dtype_name(dtype_),
                   std::array{shape_.num_experts, shape_.hidden_size});
      }
      for (int64_t expert = 0; expert < shape_.num_experts; ++expert) {
        add_ffn(routed_expert_name(layer, expert), shape_.routed_shape());
      }
      if (shape_.num_shared_experts > 0) {
        add_ffn(shared_experts_name(layer), shape_.shared_shape());
      }
    }
    return digest.value();
  }

 private:
  uint64_t matrix_key(int64_t layer, uint64_t expert, uint64_t matrix) const {
    const uint64_t layer_key = derive_key(seed_, static_cast<uint64_t>(layer));
    return derive_key(derive_key(layer_key, expert), matrix);
  }

  /// Normal values with standard deviation 1/sqrt(cols), stored as dtype_.
  Buffer make_matrix(int64_t rows, int64_t cols, uint64_t key) const {
    constexpr int64_t kChunk = 4096;  // elements: even, so that no pair of normals is cut
    std::array<float, kChunk> values;
    const float deviation = 1.0f / std::sqrt(static_cast<float>(cols));
    const int64_t count = rows * cols;
    Buffer matrix(count * dtype_size(dtype_));
    for (int64_t first = 0; first < count; first += kChunk) {
      const int64_t size = std::min(kChunk, count - first);
      const std::span<float> part(values.data(), static_cast<size_t>(size));
      fill_normal(key, first, part);
      for (float& value : part) value *= deviation;
      convert_from_float(values.data(), size, dtype_, matrix.data() + first * dtype_size(dtype_));
    }
    return matrix;
  }

  LoadedFfn make_ffn(const FfnShape& shape, int64_t layer, uint64_t expert) const {
    LoadedFfn ffn;
    const std::array views = {&ffn.weights.w1, &ffn.weights.w2, &ffn.weights.w3};
    const std::vector<FfnMatrix> matrices = ffn_matrices(shape);
    for (size_t i = 0; i < matrices.size(); ++i) {
      const auto& [name, rows, cols] = matrices[i];
      ffn.owned.push_back(make_matrix(rows, cols, matrix_key(layer, expert, i)));
      *views[i] = ffn.owned.back().matrix(dtype_, rows, cols);
    }
    return ffn;
  }

  StackShape shape_;
  DType dtype_;
  uint64_t seed_;
};

}  // namespace

std::unique_ptr<WeightSource> make_synthetic_weights(const StackShape& shape, DType dtype,
                                                     uint64_t seed) {
  return std::make_unique<SyntheticWeights>(shape, dtype, seed);
}

}  // namespace hashep
