// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "benchmarks/scale_loss.hpp"
#include "launch/process/result_json.hpp"

namespace hashep::bench {

/// The lines above the table: what its columns are.
extern const char* const kScaleColumns;

/// A line of the table, with its end. `shared`: ranks share cores, which a star says.
std::string scale_line(const MeasuredRow& row, int ranks, const Scaling& scaling, bool shared);

/// A bar of `width` characters between two `|`: `=` for the efficiency, then a letter for each
/// loss (i imbalance, x exchange, g gemm_shape, o other) by its share of the time. Gains are not
/// drawn.
std::string scale_bar(const Scaling& scaling, int width);

}  // namespace hashep::bench
