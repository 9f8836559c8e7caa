// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "hashep/dtype.hpp"
#include "hashep/tensor_view.hpp"
#include "launch/process/result_json.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep::bench {

// What the benchmarks of layers have in common, on ranks and on one GPU.

/// Fills rows [first_row, first_row + x.rows) of an endless matrix of normal values.
void fill_random_rows(uint64_t key, int64_t first_row, MatrixView x);

/// At most `count` of [0, tokens), evenly spread: those whose results are checked.
std::vector<int64_t> spread_tokens(int64_t tokens, int64_t count);

/// Floating-point operations of the routed experts' GEMMs for so many rows.
double routed_operations(const ModelConfig& config, int64_t rows);

/// Says in a row of a result what layer it is of.
void describe_layer(const ModelConfig& config, DType dtype, int64_t tokens_per_rank,
                    MeasuredRow& row);

}  // namespace hashep::bench
