// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor_view.hpp"
#include "runtime/exec/batch_plan.hpp"
#include "runtime/model/weight_source.hpp"

namespace hashep {

/// How the oracle computes the stack.
struct OracleOptions {
  DType dtype = DType::f32;
  bool residual = true;
};

/// The naive oracle for a whole stack: what `tokens` (indices on this rank) become. Layers mix no
/// tokens, so a sample checks as well as a whole batch. inputs: [tokens.size(), hidden_size]
/// floats, row t being the input of tokens[t], already rounded to the dtype; returned likewise. The
/// experts of each token are taken from plan.layers[l].experts. Reads one expert's weights at a
/// time. Local.
std::vector<float> oracle_stack(const ModelConfig& config, const WeightSource& weights,
                                const BatchPlan& plan, std::span<const int64_t> tokens,
                                std::vector<float> inputs, const OracleOptions& options);

/// Multiply-adds the oracle spends on one token.
int64_t oracle_cost_per_token(const ModelConfig& config);

/// The largest |got - want| / |want| over rows (Euclidean norms of rows); infinity where a value is
/// not finite. Both are [rows, cols].
double max_relative_error(std::span<const float> got, std::span<const float> want, int64_t cols);

/// Bounds on that error: 1e-5 for fp32, 1e-2 for bf16.
double error_bound(DType dtype);

}  // namespace hashep
