// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "core/buffer.hpp"
#include "kernels/expert_ffn.hpp"
#include "runtime/model/weight_source.hpp"

namespace hashep::bench {

/// The experts of a layer on this rank with nothing around them: the yardstick `gemm_alone`. Rows
/// stand ready in memory of this process.
class ExpertGemms {
 public:
  ExpertGemms(const ModelConfig& config, const WeightSource& weights,
              std::span<const int32_t> local_experts, DType dtype, int threads);

  /// Makes ready for these row counts, with fresh rows: experts work in place, and outputs as
  /// inputs would shrink from run to run.
  void prepare(std::span<const int64_t> expert_offsets);
  void run();

  /// Of the first row of each expert, after a run: those that are not what the naive oracle makes
  /// of them.
  int64_t wrong_rows() const;

 private:
  std::span<const float> input(int64_t row) const;

  const ModelConfig& config_;
  const WeightSource& weights_;
  std::span<const int32_t> local_experts_;
  DType dtype_;
  ExpertFfn ffn_;
  std::span<const int64_t> expert_offsets_;
  std::vector<float> inputs_;  // [kDistinctRows, hidden_size], already rounded
  Buffer distinct_;            // the same in dtype
  Buffer rows_;                // [expert_offsets.back(), hidden_size]
};

}  // namespace hashep::bench
