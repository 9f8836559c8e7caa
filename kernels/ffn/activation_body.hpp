// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "kernels/argument_checks.hpp"
#include "kernels/ffn/activation.hpp"
#include "kernels/ffn/row_tiling.hpp"
#include "kernels/rows/wide_access.hpp"

namespace hashep {

/// activate on a GPU: what each thread reads. Pointers lead to GPU memory.
struct ActivationArguments {
  const std::byte* rows = nullptr;
  const float* bias1 = nullptr;  // null: none
  const float* bias3 = nullptr;
  std::byte* out = nullptr;
  int64_t ffn_size = 0;
  Activation activation = Activation::silu;
  float limit = 0.0f;  // 0: none
  DType in = DType::f32;
  DType out_dtype = DType::f32;
  int elements = 1;  // of a step
  RowTiling tiling;

  int64_t blocks() const { return tiling.blocks(); }
};

// In these functions of z a NaN stays one: a comparison with it is false.

HASHEP_HOST_DEVICE inline float relu(float z) {
  return z < 0.0f ? 0.0f : z;
}

HASHEP_HOST_DEVICE inline float gelu(float z) {
  constexpr float kInverseSqrt2 = 0.70710678f;
  return 0.5f * z * (1.0f + erff(z * kInverseSqrt2));
}

/// a / b for b in [1, 2], on a GPU within two units of the last place: an exactly rounded quotient
/// would cost as much there as all the rest of silu.
HASHEP_HOST_DEVICE inline float quotient(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fdividef(a, b);
#else
  return a / b;
#endif
}

/// z / (1 + e^-z). The exponential is of no positive number, so that none overflows.
HASHEP_HOST_DEVICE inline float silu(float z) {
  const float e = expf(-fabsf(z));
  return quotient(z < 0.0f ? z * e : z, 1.0f + e);
}

/// silu(gate) * up, both clamped first where limit > 0; the gate has no lower bound.
HASHEP_HOST_DEVICE inline float swiglu(float gate, float up, float limit) {
  if (limit > 0.0f) {
    gate = gate > limit ? limit : gate;
    up = up > limit ? limit : (up < -limit ? -limit : up);
  }
  return silu(gate) * up;
}

/// How many elements (8, 4, 2 or 1) a step can have, so that all its accesses are aligned.
inline int activation_elements(const ActivationArguments& a) {
  const auto fits = [](const void* address, int64_t bytes) {
    return is_aligned(address, bytes < kWidestAccess ? bytes : kWidestAccess);
  };
  const bool all_f32 = a.in == DType::f32 && a.out_dtype == DType::f32;
  for (int elements = all_f32 ? 4 : 8; elements > 1; elements /= 2) {
    if (a.ffn_size % elements == 0 && fits(a.rows, elements * dtype_size(a.in)) &&
        fits(a.out, elements * dtype_size(a.out_dtype)) && fits(a.bias1, elements * 4) &&
        fits(a.bias3, elements * 4)) {
      return elements;
    }
  }
  require(fits(a.rows, dtype_size(a.in)) && fits(a.out, dtype_size(a.out_dtype)),
          "activate: rows or out are not aligned to their elements");
  return 1;
}

/// Checks the arguments of activate, as check_activate does.
inline ActivationArguments activation_arguments(const FfnShape& shape, const PreActivation& input,
                                                MatrixView out) {
  check_activate(shape, input, out);
  ActivationArguments a{.rows = input.rows.data,
                        .bias1 = input.bias1,
                        .bias3 = input.bias3,
                        .out = out.data,
                        .ffn_size = shape.ffn_size,
                        .activation = shape.activation,
                        .limit = shape.swiglu_limit,
                        .in = input.rows.dtype,
                        .out_dtype = out.dtype,
                        .elements = 1,
                        .tiling = {}};
  a.elements = activation_elements(a);
  a.tiling = tile_rows(out.rows, shape.ffn_size / a.elements);
  return a;
}

/// One thread of activate, in steps of kElements.
template <typename In, typename Out, int kElements>
struct ActivationBody {
  using Arguments = ActivationArguments;
  static constexpr int kSteps = 2;  // on their way at once

  HASHEP_HOST_DEVICE static void run(const Arguments& a, int64_t block, int thread) {
    const RowPosition at = a.tiling.position(block, thread);
    if (at.row >= a.tiling.rows) return;
    const bool is_gated = a.activation == Activation::silu;
    const In* const row =
        reinterpret_cast<const In*>(a.rows) + at.row * a.ffn_size * (is_gated ? 2 : 1);
    Out* const out = reinterpret_cast<Out*>(a.out) + at.row * a.ffn_size;
    const int64_t stride = int64_t{a.tiling.row_threads()} * kElements;
    for (int64_t column = at.step * kElements; column < a.ffn_size; column += kSteps * stride) {
      float gate[kSteps][kElements] = {};
      float up[kSteps][kElements] = {};
      HASHEP_UNROLL
      for (int s = 0; s < kSteps; ++s) {
        const int64_t here = column + s * stride;
        if (here >= a.ffn_size) continue;
        load_floats<In, kElements>(row + here, gate[s]);
        if (is_gated) load_floats<In, kElements>(row + a.ffn_size + here, up[s]);
      }
      HASHEP_UNROLL
      for (int s = 0; s < kSteps; ++s) {
        const int64_t here = column + s * stride;
        if (here >= a.ffn_size) continue;
        add_bias(a.bias1, here, gate[s]);
        add_bias(a.bias3, here, up[s]);
        HASHEP_UNROLL
        for (int i = 0; i < kElements; ++i) gate[s][i] = activated(a, gate[s][i], up[s][i]);
        store_floats<Out, kElements>(gate[s], out + here);
      }
    }
  }

 private:
  HASHEP_HOST_DEVICE static void add_bias(const float* bias, int64_t column,
                                          float (&values)[kElements]) {
    if (bias == nullptr) return;
    float added[kElements];
    load_floats<float, kElements>(bias + column, added);
    HASHEP_UNROLL
    for (int i = 0; i < kElements; ++i) values[i] += added[i];
  }

  HASHEP_HOST_DEVICE static float activated(const Arguments& a, float gate, float up) {
    if (a.activation == Activation::silu) return swiglu(gate, up, a.limit);
    return a.activation == Activation::gelu ? gelu(gate) : relu(gate);
  }
};

/// The part of with_activation_body for one pair of types.
template <typename In, typename Out, typename Launch>
void with_activation_elements(const ActivationArguments& a, In, Out, const Launch& launch) {
  if constexpr (sizeof(In) == 2 || sizeof(Out) == 2) {
    if (a.elements == 8) return launch(ActivationBody<In, Out, 8>{});
  }
  if (a.elements == 4) return launch(ActivationBody<In, Out, 4>{});
  if (a.elements == 2) return launch(ActivationBody<In, Out, 2>{});
  return launch(ActivationBody<In, Out, 1>{});
}

/// Calls launch(body) with the body that fits the arguments; not at all where nothing is to do.
template <typename Launch>
void with_activation_body(const ActivationArguments& a, const Launch& launch) {
  if (a.blocks() == 0) return;
  with_activation_type(a.in, [&](auto in) {
    with_activation_type(a.out_dtype,
                         [&](auto out) { with_activation_elements(a, in, out, launch); });
  });
}

}  // namespace hashep
