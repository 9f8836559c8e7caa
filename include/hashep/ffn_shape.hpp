// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "hashep/quantised_view.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

/// What an expert computes.
enum class Activation {
  relu,  ///< w2 . relu(w1 x)
  gelu,  ///< w2 . gelu(w1 x), with erf
  silu   ///< SwiGLU: w2 . (silu(w1 x) * (w3 x))
};

/// The shape of one feed-forward expert.
struct FfnShape {
  int64_t hidden_size = 0;                   ///< d
  int64_t ffn_size = 0;                      ///< f
  Activation activation = Activation::silu;  ///< and whether there is a w3
  /// With silu and a limit L > 0: gate = min(gate, L) and up = clamp(up, -L, L) before silu.
  float swiglu_limit = 0.0f;

  bool operator==(const FfnShape&) const = default;
};

/// Borrowed matrices of one expert that are quantised; those that are not are empty: no rows.
struct QuantisedFfn {
  QuantisedView w1 = {};  ///< [ffn_size, hidden_size]
  QuantisedView w2 = {};  ///< [hidden_size, ffn_size]
  QuantisedView w3 = {};  ///< [ffn_size, hidden_size], silu only
};

/// Borrowed weights of one expert as a checkpoint stores them, in F32, F16 or BF16, or quantised.
/// Unused matrices (w3 without silu, biases that are absent) are empty: null data, no rows.
struct FfnWeights {
  ConstMatrixView w1 = {};      ///< [ffn_size, hidden_size]
  ConstMatrixView w2 = {};      ///< [hidden_size, ffn_size]
  ConstMatrixView w3 = {};      ///< [ffn_size, hidden_size], silu only
  ConstMatrixView bias1 = {};   ///< [1, ffn_size]
  ConstMatrixView bias2 = {};   ///< [1, hidden_size]
  ConstMatrixView bias3 = {};   ///< [1, ffn_size], silu only
  QuantisedFfn quantised = {};  ///< each in place of the matrix of its name, which is then empty
};

/// Throws InputError, naming `expert` and the matrix, where weights are missing, or not of this
/// shape, or not of a float type.
void check_weights(const FfnShape& shape, const FfnWeights& weights, int64_t expert);

}  // namespace hashep
