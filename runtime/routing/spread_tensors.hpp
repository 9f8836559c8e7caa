// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "core/safetensors.hpp"
#include "hashep/spread_rows.hpp"

namespace hashep {

/// The tensors of a table's spread rows, which stand beside it in a file: the last part of the
/// table's name replaced by spread_ids [n] I32, spread_offsets [n + 1] I64 and
/// spread_rows [rows, top_k], I32 or I64.
struct SpreadTensorNames {
  std::string ids;
  std::string offsets;
  std::string rows;
};
SpreadTensorNames spread_tensor_names(const std::string& table_name);

/// The same, as read from a file; nothing where it has none.
struct SpreadTensors {
  std::optional<TensorContents> ids;
  std::optional<TensorContents> offsets;
  std::optional<TensorContents> rows;
};

/// Spread rows with seed 0, to be validated with their table; nothing where there is none of the
/// tensors. Throws InputError naming `source` where one of them is missing, of another dtype, or
/// has not the shape above.
std::optional<SpreadRows> read_spread_rows(const SpreadTensors& tensors, int top_k,
                                           const std::string& source);

}  // namespace hashep
