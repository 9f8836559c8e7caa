// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "hashep/quantised_view.hpp"

namespace hashep {

/// What a conversion has done.
struct ExpertConversion {
  int64_t matrices = 0;      // of routed experts
  int64_t bytes_before = 0;  // of them, with their scales
  int64_t bytes_after = 0;
  int64_t rounded = 0;         // values that are others now
  double largest_error = 0.0;  // of a matrix: |new - old| / |old|, Euclidean norms
};

/// Writes the model folder `folder` anew, as `output`, with the routed experts of its hash-routed
/// layers in another format: FP4 (scales for 32 inputs) or FP8 (for blocks of weight_block_size),
/// both with E8M0 scales (core/quantise.hpp), or bf16 (nothing; rounded to nearest even). All else
/// stays as it is; config.json and the index tell of it. `output` must not exist, and appears
/// whole. Throws InputError naming what is wrong.
ExpertConversion convert_experts(const std::string& folder, const std::string& output,
                                 std::optional<QuantFormat> format);

}  // namespace hashep
