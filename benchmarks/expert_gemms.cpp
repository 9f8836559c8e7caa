// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/expert_gemms.hpp"

#include <algorithm>
#include <cstring>

#include "core/random.hpp"
#include "kernels/oracle.hpp"
#include "runtime/exec/oracle_check.hpp"

namespace hashep::bench {
namespace {

constexpr int64_t kDistinctRows =
    251;  // of the inputs, which repeat: a prime, so that no tile does
constexpr uint64_t kRowsTag = 4;
constexpr int64_t kRowsToCheck = 4;  // each takes the oracle milliseconds

}  // namespace

ExpertGemms::ExpertGemms(const ModelConfig& config, const WeightSource& weights,
                         std::span<const int32_t> local_experts, DType dtype, int threads)
    : config_(config),
      weights_(weights),
      local_experts_(local_experts),
      dtype_(dtype),
      ffn_(config.routed_shape(), dtype, std::ssize(local_experts), threads),
      inputs_(static_cast<size_t>(kDistinctRows * config.hidden_size)),
      distinct_(kDistinctRows * config.hidden_size * dtype_size(dtype)) {
  for (size_t i = 0; i < local_experts.size(); ++i) {
    const LoadedFfn expert = weights.routed_expert(0, local_experts[i]);
    ffn_.set_expert(static_cast<int64_t>(i), expert.weights);
  }
  fill_normal(kRowsTag, 0, inputs_);
  convert_from_float(inputs_.data(), std::ssize(inputs_), dtype, distinct_.data());
  convert_to_float(dtype, distinct_.data(), std::ssize(inputs_), inputs_.data());
}

void ExpertGemms::prepare(std::span<const int64_t> expert_offsets) {
  expert_offsets_ = expert_offsets;
  ffn_.prepare(expert_offsets);
  const int64_t row_bytes = config_.hidden_size * dtype_size(dtype_);
  rows_.reserve(expert_offsets.back() * row_bytes);
  for (int64_t row = 0; row < expert_offsets.back(); row += kDistinctRows) {
    const int64_t count = std::min(kDistinctRows, expert_offsets.back() - row);
    std::memcpy(rows_.data() + row * row_bytes, distinct_.data(),
                static_cast<size_t>(count * row_bytes));
  }
}

void ExpertGemms::run() {
  ffn_.run(expert_offsets_, rows_.matrix(dtype_, expert_offsets_.back(), config_.hidden_size));
}

std::span<const float> ExpertGemms::input(int64_t row) const {
  const auto width = static_cast<size_t>(config_.hidden_size);
  return std::span(inputs_).subspan(static_cast<size_t>(row % kDistinctRows) * width, width);
}

int64_t ExpertGemms::wrong_rows() const {
  std::vector<float> got(static_cast<size_t>(config_.hidden_size));
  const ConstMatrixView rows = rows_.matrix(dtype_, expert_offsets_.back(), config_.hidden_size);
  int64_t wrong = 0;
  int64_t checked = 0;
  for (size_t i = 0; i < local_experts_.size() && checked < kRowsToCheck; ++i) {
    const int64_t row = expert_offsets_[i];
    if (row == expert_offsets_[i + 1]) continue;
    ++checked;
    const LoadedFfn expert = weights_.routed_expert(0, local_experts_[i]);
    const auto want = oracle_expert(config_.routed_shape(), dtype_, expert.weights, input(row));
    convert_to_float(dtype_, rows.row(row), rows.cols, got.data());
    wrong += max_relative_error(got, want, rows.cols) < error_bound(dtype_) ? 0 : 1;
  }
  return wrong;
}

}  // namespace hashep::bench
