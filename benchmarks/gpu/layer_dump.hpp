// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "benchmarks/gpu/layer_case.hpp"

namespace hashep::bench {

/// Writes one layer with its input and our output to a safetensors file, for peers to compute the
/// same: x, y [tokens, d]; experts [tokens, k] i32; weights [tokens, k] fp32, per choice; w1, w3
/// [E, f, d] and w2 [E, d, f] bf16; swiglu_limit [1] fp32. Whole or not at all.
void dump_layer(const LayerCase& c, const std::vector<std::byte>& y, const std::string& path);

}  // namespace hashep::bench
