// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/expand_ffn.hpp"

#include <utility>

#include "core/quantised_matrix.hpp"

namespace hashep {

LoadedFfn expanded(LoadedFfn ffn) {
  const auto expand = [&](QuantisedView& from, ConstMatrixView& to) {
    if (from.rows == 0) return;
    const DType dtype = exact_dtype(from);
    Buffer& memory = ffn.owned.emplace_back(from.rows * from.cols * dtype_size(dtype));
    dequantise(from, 0, from.rows, dtype, memory.data());
    to = std::as_const(memory).matrix(dtype, from.rows, from.cols);
    from = {};
  };
  expand(ffn.weights.quantised.w1, ffn.weights.w1);
  expand(ffn.weights.quantised.w2, ffn.weights.w2);
  expand(ffn.weights.quantised.w3, ffn.weights.w3);
  return ffn;
}

}  // namespace hashep
