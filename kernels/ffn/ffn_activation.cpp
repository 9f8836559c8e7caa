// SPDX-License-Identifier: Apache-2.0
// HASHEP_EACH_VECTOR_WIDTH: see row_sums_cpu.cpp.
#include "kernels/ffn/ffn_activation.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "kernels/rows/lane_dot.hpp"
#include "kernels/rows/row_sums.hpp"

namespace hashep {
namespace {

constexpr int64_t kBlockValues = 4096;  // of each kind: a block's kinds fit in L2
constexpr int kKinds = 6;

PostOp function_of(Activation activation) {
  switch (activation) {
    case Activation::relu:
      return {dnnl::algorithm::eltwise_relu};
    case Activation::gelu:
      return {dnnl::algorithm::eltwise_gelu_erf};
    case Activation::silu:
      break;
  }
  return {dnnl::algorithm::eltwise_swish, 1.0f};
}

// In these loops a NaN stays one: a comparison with it is false.

HASHEP_EACH_VECTOR_WIDTH
void clamp_gate(const float* __restrict gate, float limit, int64_t count, float* __restrict out) {
  for (int64_t i = 0; i < count; ++i) out[i] = gate[i] > limit ? limit : gate[i];
}

/// out = a * clamp(up).
HASHEP_EACH_VECTOR_WIDTH
void multiply_up(const float* __restrict a, const float* __restrict up, float limit, int64_t count,
                 float* __restrict out) {
  for (int64_t i = 0; i < count; ++i) {
    const float below = up[i] > limit ? limit : up[i];
    out[i] = a[i] * (below < -limit ? -limit : below);
  }
}

/// The gradients of gate and up, 0 where they were clamped.
HASHEP_EACH_VECTOR_WIDTH
void gradient_of_clamped(const float* __restrict gate, const float* __restrict up,
                         const float* __restrict act, const float* __restrict hidden_gradient,
                         float limit, int64_t count, float* __restrict gradient,
                         float* __restrict up_gradient) {
  for (int64_t i = 0; i < count; ++i) {
    gradient[i] = gate[i] > limit ? 0.0f : gradient[i];
    const float whole = hidden_gradient[i] * act[i];
    up_gradient[i] = up[i] > limit || up[i] < -limit ? 0.0f : whole;
  }
}

void store(const float* values, float weight, int64_t count, float* out) {
  set_scaled(values, weight, count, out);
}

void store(float* values, float weight, int64_t count, BFloat16* out) {
  for (int64_t i = 0; i < count; ++i) values[i] *= weight;
  round_sums(values, count, out);
}

/// out <- weight * values, at column `first` of a row. Values may be changed.
void store_row(float* values, float weight, int64_t count, MatrixView out, int64_t row,
               int64_t first) {
  with_activation_type(out.dtype, [&](auto zero) {
    store(values, weight, count, out.row_as<decltype(zero)>(row) + first);
  });
}

}  // namespace

FfnActivation::FfnActivation(const dnnl::engine& engine, const FfnShape& shape, int threads)
    : shape_(shape),
      limit_(shape.swiglu_limit > 0.0f ? shape.swiglu_limit
                                       : std::numeric_limits<float>::infinity()),
      block_rows_(std::max<int64_t>(1, kBlockValues / shape.ffn_size)),
      function_(engine, {function_of(shape.activation)}, threads),
      gradient_(engine, function_of(shape.activation), block_size(), threads) {
  function_.make_ready(block_size());
  const int64_t bytes = kKinds * block_size() * dtype_size(DType::f32);
  for (int thread = 0; thread < threads; ++thread) {
    // Functions are applied to whole blocks: of a last one, to what was there before too.
    std::fill_n(blocks_.emplace_back(bytes).data(), bytes, std::byte{0});
  }
}

FfnActivation::Block FfnActivation::block_of(int thread) {
  auto* next = reinterpret_cast<float*>(blocks_[thread].data());
  const auto take = [&] { return std::exchange(next, next + block_size()); };
  return {take(), take(), take(), take(), take(), take()};
}

/// Pre-activations of some rows, gate and up apart.
void FfnActivation::load(ConstMatrixView z, const Block& block) const {
  const int64_t f = shape_.ffn_size;
  if (!gated()) {
    convert_to_float(z.dtype, z.data, z.rows * f, block.gate);
    return;
  }
  for (int64_t row = 0; row < z.rows; ++row) {
    convert_to_float(z.dtype, z.row(row), f, block.gate + row * f);
    convert_to_float(z.dtype, z.row(row) + f * dtype_size(z.dtype), f, block.up + row * f);
  }
}

/// act and hidden of a block that was loaded; gate is clamped into act first.
void FfnActivation::apply(int thread, const Block& block) const {
  clamp_gate(block.gate, limit_, block_size(), block.act);
  function_.run(thread, block_size(), block.act);
  if (gated()) multiply_up(block.act, block.up, limit_, block_size(), block.hidden);
}

void FfnActivation::forward(int thread, ConstMatrixView z, MatrixView hidden) {
  const Block block = block_of(thread);
  for (int64_t first = 0; first < z.rows; first += block_rows_) {
    const int64_t rows = std::min(block_rows_, z.rows - first);
    load(z.slice(first, rows), block);
    apply(thread, block);
    const MatrixView out = hidden.slice(first, rows);
    const float* const values = gated() ? block.hidden : block.act;
    with_activation_type(out.dtype, [&](auto zero) {
      if constexpr (sizeof(zero) == sizeof(float)) {
        std::copy_n(values, rows * shape_.ffn_size, out.row_as<float>(0));
      } else {
        round_sums(values, rows * shape_.ffn_size, out.row_as<BFloat16>(0));
      }
    });
  }
}

void FfnActivation::backward(int thread, const Backward& all) {
  const Block block = block_of(thread);
  const int64_t f = shape_.ffn_size;
  for (int64_t first = 0; first < all.z.rows; first += block_rows_) {
    const int64_t rows = std::min(block_rows_, all.z.rows - first);
    const int64_t count = rows * f;
    const float* const hidden_gradient = all.hidden_gradient + first * f;
    load(all.z.slice(first, rows), block);
    apply(thread, block);
    float* const hidden = gated() ? block.hidden : block.act;
    float* const clamped = block.up_gradient;  // until the gradient of up is made
    clamp_gate(block.gate, limit_, block_size(), clamped);
    if (gated()) {
      multiply_up(hidden_gradient, block.up, limit_, count, block.gradient);
    } else {
      std::copy_n(hidden_gradient, count, block.gradient);
    }
    gradient_.run(thread, clamped, block.gradient);
    if (gated()) {
      gradient_of_clamped(block.gate, block.up, block.act, hidden_gradient, limit_, count,
                          block.gradient, block.up_gradient);
    }
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t here = first + row;
      const float weight = all.weights == nullptr ? all.weight : all.weights[here];
      if (all.weight_gradients != nullptr) {
        all.weight_gradients[here] = lane_dot(hidden_gradient + row * f, hidden + row * f, f);
      }
      store_row(block.gradient + row * f, weight, f, all.z_gradient, here, 0);
      if (gated()) store_row(block.up_gradient + row * f, weight, f, all.z_gradient, here, f);
      store_row(hidden + row * f, weight, f, all.hidden, here, 0);
    }
  }
}

}  // namespace hashep
