// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "hashep/batch_plan.hpp"
#include "hashep/weight_source.hpp"
#include "runtime/layer/cuda/cuda_stack.hpp"
#include "runtime/layer/oracle_check.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep::bench {

/// Layers as one of several ranks sees them: all landed rows stand here, as if this rank's experts
/// were all experts.
struct LayerSizes {
  int64_t num_layers = 1;
  int64_t tokens = 4096;
  int64_t hidden_size = 4096;
  int64_t ffn_size = 2048;
  int64_t num_experts = 32;
  int64_t top_k = 6;
  double swiglu_limit = 10.0;
  DType dtype = DType::bf16;
};

/// Random weights that cost little to make: every matrix is a stretch of one pool of normal values,
/// each beginning at another place. For benchmarks.
class PooledWeights final : public WeightSource {
 public:
  explicit PooledWeights(const LayerSizes& sizes);

  LoadedFfn routed_expert(int64_t layer, int64_t expert) const override;
  LoadedFfn shared_experts(int64_t layer) const override;
  LoadedMatrix gate(int64_t layer) const override;
  uint64_t shape_digest() const override { return 0; }

 private:
  ConstMatrixView part(int64_t which, DType dtype, int64_t rows, int64_t cols) const;

  LayerSizes sizes_;
  std::vector<std::byte> w13_pool_;  // bf16, scaled for w1 and w3
  std::vector<std::byte> w2_pool_;   // bf16, scaled for w2
  std::vector<float> gate_pool_;
};

/// Model, plan and input of a benchmark.
struct LayerCase {
  explicit LayerCase(const LayerSizes& sizes);

  ConstMatrixView input() const;
  /// Rows that land on experts in one layer.
  int64_t landed_rows() const { return plan.layers.front().total_recv(); }
  /// Floating-point operations of the experts' GEMMs, all layers.
  double flops() const;

  LayerSizes sizes;
  ModelConfig config;
  PooledWeights weights;
  StackGeometry geometry;
  BatchPlan plan;  // step 0
  std::vector<std::byte> x;
};

/// Asks for step `plan.step`, which is prepared, and waits for it.
void run_and_wait(CudaStack& stack, const BatchPlan& plan);
/// Hidden states after the last step.
std::vector<std::byte> fetch_result(CudaStack& stack);

/// How far `tokens` evenly spaced tokens' results are from the naive oracle's.
OracleDifference oracle_difference(const LayerCase& c, const std::vector<std::byte>& result,
                                   int64_t tokens, bool rounds_preactivations);

}  // namespace hashep::bench
