// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/expert_gemms.hpp"

#include <algorithm>
#include <cstring>

#include "core/random.hpp"
#include "kernels/ffn/oracle.hpp"
#include "runtime/layer/oracle_check.hpp"
#include "runtime/layer/stack_experts.hpp"
#include "runtime/model/expand_ffn.hpp"

namespace hashep::bench {
namespace {

constexpr int64_t kDistinctRows =
    251;  // of the inputs, which repeat: a prime, so that no tile does
constexpr uint64_t kRowsTag = 4;
constexpr size_t kRowsToCheck = 4;  // each takes the oracle milliseconds

}  // namespace

ExpertGemms::ExpertGemms(const ModelConfig& config, const WeightSource& weights,
                         std::span<const Placement> placements, int ep_rank,
                         const ExecOptions& exec)
    : config_(config),
      weights_(weights),
      dtype_(exec.dtype),
      ffn_(config.routed_shape(), exec.dtype, count_local_experts(placements, ep_rank),
           exec.threads, exec.gemm_library),
      inputs_(kDistinctRows * config.hidden_size),
      distinct_(kDistinctRows * config.hidden_size * dtype_size(exec.dtype)) {
  int64_t place = 0;
  for (size_t layer = 0; layer < placements.size(); ++layer) {
    for (const int32_t expert : placements[layer].local_experts(ep_rank)) {
      ffn_.set_expert(place, weights.routed_expert(static_cast<int64_t>(layer), expert).weights);
      ++place;
    }
  }
  fill_normal(kRowsTag, 0, inputs_);
  convert_from_float(inputs_.data(), std::ssize(inputs_), dtype_, distinct_.data());
  convert_to_float(dtype_, distinct_.data(), std::ssize(inputs_), inputs_.data());
}

int64_t ExpertGemms::num_rows() const {
  int64_t rows = 0;
  for (const ExchangePlan& layer : layers_) rows += layer.total_recv();
  return rows;
}

void ExpertGemms::prepare(std::span<const ExchangePlan> layers) {
  layers_ = layers;
  for (const ExchangePlan& layer : layers) ffn_.prepare(layer.expert_offsets);
  const int64_t row_bytes = config_.hidden_size * dtype_size(dtype_);
  const int64_t rows = num_rows();
  rows_.reserve(rows * row_bytes);
  for (int64_t row = 0; row < rows; row += kDistinctRows) {
    const int64_t count = std::min(kDistinctRows, rows - row);
    std::memcpy(rows_.data() + row * row_bytes, distinct_.data(), count * row_bytes);
  }
}

void ExpertGemms::run() {
  const MatrixView rows = rows_.matrix(dtype_, num_rows(), config_.hidden_size);
  int64_t first_row = 0;
  int64_t first_expert = 0;
  for (const ExchangePlan& layer : layers_) {
    ffn_.run(layer.expert_offsets, rows.slice(first_row, layer.total_recv()), first_expert);
    first_row += layer.total_recv();
    first_expert += layer.num_local_experts();
  }
}

std::span<const float> ExpertGemms::input(int64_t row) const {
  const auto width = static_cast<size_t>(config_.hidden_size);
  return std::span(inputs_).subspan(static_cast<size_t>(row % kDistinctRows) * width, width);
}

std::vector<ExpertGemms::ExpertRows> ExpertGemms::experts_with_rows() const {
  std::vector<ExpertRows> found;
  int64_t first_row = 0;
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    const ExchangePlan& plan = layers_[layer];
    for (size_t i = 0; i < plan.local_experts.size(); ++i) {
      if (plan.expert_offsets[i] == plan.expert_offsets[i + 1]) continue;
      found.push_back(
          {static_cast<int64_t>(layer), plan.local_experts[i], first_row + plan.expert_offsets[i]});
    }
    first_row += plan.total_recv();
  }
  return found;
}

int64_t ExpertGemms::wrong_rows() const {
  std::vector<float> got(config_.hidden_size);
  const ConstMatrixView rows = rows_.matrix(dtype_, num_rows(), config_.hidden_size);
  const std::vector<ExpertRows> experts = experts_with_rows();
  const size_t count = std::min(kRowsToCheck, experts.size());
  int64_t wrong = 0;
  for (size_t i = 0; i < count; ++i) {  // over all layers
    const ExpertRows& each = experts[i * experts.size() / count];
    const LoadedFfn expert = expanded(weights_.routed_expert(each.layer, each.expert));
    const auto want = oracle_expert(config_.routed_shape(), OracleNumbers{dtype_}, expert.weights,
                                    exact_values(input(each.first_row)));
    convert_to_float(dtype_, rows.row(each.first_row), rows.cols, got.data());
    wrong += compare_with_oracle(got, want, rows.cols).is_explained() ? 0 : 1;
  }
  return wrong;
}

}  // namespace hashep::bench
