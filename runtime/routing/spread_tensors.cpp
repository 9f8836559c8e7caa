// SPDX-License-Identifier: Apache-2.0
#include "runtime/routing/spread_tensors.hpp"

#include <utility>

#include "core/load.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

/// The integers of a tensor. Throws InputError where one does not fit T.
template <typename T>
std::vector<T> integers(const TensorContents& tensor, const std::string& what) {
  if (tensor.dtype != DType::i32 && tensor.dtype != DType::i64) {
    throw InputError(what + ": i32 or i64 expected, found " +
                     std::string(dtype_name(tensor.dtype)));
  }
  const bool is_wide = tensor.dtype == DType::i64;
  std::vector<T> values(tensor.bytes.size() / static_cast<size_t>(dtype_size(tensor.dtype)));
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t value = is_wide ? load<int64_t>(tensor.bytes.data() + i * 8)
                                  : load<int32_t>(tensor.bytes.data() + i * 4);
    if (!std::in_range<T>(value)) {
      throw InputError(what + ": " + std::to_string(value) + " does not fit int32");
    }
    values[i] = static_cast<T>(value);
  }
  return values;
}

void require_dimensions(const TensorContents& tensor, size_t dimensions, const std::string& what) {
  if (tensor.shape.size() == dimensions) return;
  throw InputError(what + ": " + std::to_string(tensor.shape.size()) + " dimensions, expected " +
                   std::to_string(dimensions));
}

}  // namespace

SpreadTensorNames spread_tensor_names(const std::string& table_name) {
  const size_t dot = table_name.rfind('.');
  const std::string prefix = dot == table_name.npos ? "" : table_name.substr(0, dot + 1);
  return {prefix + "spread_ids", prefix + "spread_offsets", prefix + "spread_rows"};
}

std::optional<SpreadRows> read_spread_rows(const SpreadTensors& tensors, int top_k,
                                           const std::string& source) {
  const auto& [ids, offsets, rows] = tensors;
  if (!ids && !offsets && !rows) return std::nullopt;
  if (!ids || !offsets || !rows) {
    const char* const missing = !ids ? "spread_ids" : !offsets ? "spread_offsets" : "spread_rows";
    throw InputError(source + ": spread rows without the tensor " + missing);
  }
  require_dimensions(*ids, 1, source + ": spread_ids");
  require_dimensions(*offsets, 1, source + ": spread_offsets");
  require_dimensions(*rows, 2, source + ": spread_rows");
  if (rows->shape[1] != top_k) {
    throw InputError(source + ": spread_rows have " + std::to_string(rows->shape[1]) +
                     " experts, the table has " + std::to_string(top_k));
  }
  return SpreadRows{.ids = integers<int32_t>(*ids, source + ": spread_ids"),
                    .offsets = integers<int64_t>(*offsets, source + ": spread_offsets"),
                    .experts = integers<int32_t>(*rows, source + ": spread_rows")};
}

}  // namespace hashep
