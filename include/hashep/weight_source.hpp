// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hashep/buffer.hpp"
#include "hashep/ffn_shape.hpp"

namespace hashep {

/// Weights of one expert: views, and the memory behind them.
struct LoadedFfn {
  FfnWeights weights;
  std::vector<Buffer> owned;
};

/// A matrix, and the memory behind it.
struct LoadedMatrix {
  ConstMatrixView view;
  Buffer owned;
};

/// Where the weights of a model come from: a folder or a seed. Views stay valid as long as the
/// source and the Loaded... object live. Local, not collective. Each call reads or makes what it is
/// asked for, and nothing else.
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  /// Throws InputError naming file, tensor and shapes where a tensor is missing or misshapen.
  virtual LoadedFfn routed_expert(int64_t layer, int64_t expert) const = 0;
  virtual LoadedFfn shared_experts(int64_t layer) const = 0;
  /// gate.weight [num_experts, hidden_size]; needed for Score::sqrtsoftplus alone.
  virtual LoadedMatrix gate(int64_t layer) const = 0;

  /// The WeightSample of a routed expert, for ranks to compare: reads little more than that where
  /// weights come from files.
  virtual uint64_t sample_expert(int64_t layer, int64_t expert) const;

  /// A digest of names, dtypes and shapes of all tensors this model needs, for ranks to compare.
  virtual uint64_t shape_digest() const = 0;
};

/// Throws InputError naming `where` and the element if a value is NaN or infinite, or becomes so
/// when it is rounded to `dtype`. fp32, fp16 or bf16, of any alignment. first_row: the number by
/// which row 0 is named.
void require_finite(ConstMatrixView matrix, const std::string& where, DType dtype = DType::f32,
                    int64_t first_row = 0);
void require_finite(const FfnWeights& weights, const std::string& where, DType dtype = DType::f32);

}  // namespace hashep
