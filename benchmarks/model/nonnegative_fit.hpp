// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

namespace hashep::bench {

/// Coefficients c >= 0 for which the sum over rows of (row . c - target)^2 is least. Coordinate by
/// coordinate, each set to where the sum is least given the others, until nothing moves (Franc,
/// Hlavac, Navara: "Sequential Coordinate-Wise Algorithm for the Non-negative Least Squares
/// Problem", CAIP 2005). Columns of zeros get 0. rows: each of equal length, not empty, as many as
/// targets.
std::vector<double> fit_nonnegative(const std::vector<std::vector<double>>& rows,
                                    const std::vector<double>& targets);

}  // namespace hashep::bench
