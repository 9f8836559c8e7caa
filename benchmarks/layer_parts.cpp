// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/layer_parts.hpp"

#include <algorithm>

#include "core/random.hpp"

namespace hashep::bench {

void fill_random_rows(uint64_t key, int64_t first_row, MatrixView x) {
  std::vector<float> row(x.cols);
  for (int64_t i = 0; i < x.rows; ++i) {
    fill_normal(key, (first_row + i) * x.cols, row);
    convert_from_float(row.data(), x.cols, x.dtype, x.row(i));
  }
}

std::vector<int64_t> spread_tokens(int64_t tokens, int64_t count) {
  const int64_t most = std::min(tokens, count);
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < most; ++i) chosen.push_back(i * tokens / most);
  return chosen;
}

double routed_operations(const ModelConfig& config, int64_t rows) {
  const FfnShape shape = config.routed_shape();
  const double matrices = shape.activation == Activation::silu ? 3.0 : 2.0;
  return 2.0 * matrices * static_cast<double>(rows) * static_cast<double>(shape.hidden_size) *
         static_cast<double>(shape.ffn_size);
}

void describe_layer(const ModelConfig& config, DType dtype, int64_t tokens_per_rank,
                    MeasuredRow& row) {
  row.dtype = dtype_name(dtype);
  row.tokens_per_rank = tokens_per_rank;
  row.hidden_size = config.hidden_size;
  row.ffn_size = config.ffn_size;
  row.num_experts = config.num_experts;
  row.top_k = config.top_k;
}

}  // namespace hashep::bench
