// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "hashep/exchange_plan.hpp"
#include "hashep/placement.hpp"
#include "kernels/ffn/tile_gemms.hpp"
#include "kernels/gemm/gemm_maker.hpp"
#include "kernels/gemm/weight_gradient_onednn.hpp"
#include "runtime/layer/host_moe_layer.hpp"

namespace hashep::bench {

/// The GEMMs of backward of all layers' experts on this rank with nothing around them: gradients of
/// hidden activations and inputs, tile by tile, and of weights: the yardstick
/// `gemm_alone_backward`. What they multiply stands ready, and is the same for all rows.
class BackwardGemms {
 public:
  BackwardGemms(const ModelConfig& config, std::span<const Placement> placements, int ep_rank,
                const ExecOptions& exec);

  /// Makes ready for the row counts of these layers, which must outlive the use.
  void prepare(std::span<const ExchangePlan> layers);
  void run();

  /// Floating-point operations of a run.
  double operations() const;

 private:
  enum Gemm : size_t { kHiddenGradient, kInputGradient, kGemms };
  struct Thread {
    Buffer hidden, scratch;
  };

  void run_tile(int thread, int64_t expert, const ExpertTile& tile);
  void run_sums(int thread, int64_t expert, const Range& rows);

  FfnLayout layout_;
  int threads_count_;
  GemmMaker maker_;
  TileGemms gemms_;
  WeightGradientGemm in_gradient_;
  WeightGradientGemm out_gradient_;
  std::vector<std::array<std::unique_ptr<PackedWeights>, kGemms>> weights_;  // by expert
  std::vector<Thread> threads_;
  std::span<const ExchangePlan> layers_;
  Buffer hidden_rows_;  // [most rows, hidden_size], of the operand
  Buffer ffn_rows_;     // [most rows, preactivation_size]
  Buffer results_;      // [most rows, hidden_size]
  Buffer gradients_;    // [experts, layout.size()], fp32
};

}  // namespace hashep::bench
