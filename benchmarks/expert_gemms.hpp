// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "hashep/buffer.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/placement.hpp"
#include "hashep/weight_source.hpp"
#include "kernels/ffn/expert_ffn.hpp"
#include "runtime/layer/host_moe_layer.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep::bench {

/// The experts of all layers on this rank with nothing around them: the yardstick `gemm_alone`.
/// Rows stand ready in memory of this process.
class ExpertGemms {
 public:
  /// References must outlive the GEMMs. placements: of each layer.
  ExpertGemms(const ModelConfig& config, const WeightSource& weights,
              std::span<const Placement> placements, int ep_rank, const ExecOptions& exec);

  /// Makes ready for the row counts of these layers, with fresh rows: experts work in place, and
  /// outputs as inputs would shrink from run to run. The plans must outlive the use.
  void prepare(std::span<const ExchangePlan> layers);
  void run();

  /// Of the first row of some experts, after a run: those that are not what the naive oracle makes
  /// of them.
  int64_t wrong_rows() const;

 private:
  /// The rows of one expert.
  struct ExpertRows {
    int64_t layer = 0;
    int32_t expert = 0;
    int64_t first_row = 0;
  };

  int64_t num_rows() const;
  std::vector<ExpertRows> experts_with_rows() const;
  std::span<const float> input(int64_t row) const;

  const ModelConfig& config_;
  const WeightSource& weights_;
  DType dtype_;
  ExpertFfn ffn_;  // layer by layer
  std::span<const ExchangePlan> layers_;
  std::vector<float> inputs_;  // [kDistinctRows, hidden_size], already rounded
  Buffer distinct_;            // the same in dtype
  Buffer rows_;                // [num_rows, hidden_size], layer by layer
};

}  // namespace hashep::bench
