// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace hashep {

/// A square matrix of byte counts as text for a terminal: numbers up to 8 x 8, else a heat map of
/// characters from blank (0) to @ (the largest), neighbours summed where it has more than 64 rows.
/// The diagonal, which no message carries, is blank. values: [size, size]; a row is a source.
std::string heat_map(std::span<const int64_t> values, int64_t size);

}  // namespace hashep
