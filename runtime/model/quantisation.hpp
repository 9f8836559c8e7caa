// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "core/quantised_matrix.hpp"

namespace hashep {

class ConfigReader;

/// What a config.json says of quantised weights (quantization_config). Tensors tell by their dtype
/// whether they are.
struct Quantisation {
  int64_t block_rows = 128;  // of a scale of FP8: weight_block_size, outputs before inputs
  int64_t block_cols = 128;
  std::string refused = {};  // why quantised tensors of this model cannot be read; empty: they can

  /// Elements that share a scale: for FP4 32 along the inputs, as the format has it.
  int64_t rows_of(QuantFormat format) const {
    return format == QuantFormat::fp4_e2m1 ? 1 : block_rows;
  }
  int64_t cols_of(QuantFormat format) const {
    return format == QuantFormat::fp4_e2m1 ? 32 : block_cols;
  }
};

/// Throws InputError where weight_block_size is not two positive numbers.
Quantisation read_quantisation(const ConfigReader& reader);

}  // namespace hashep
