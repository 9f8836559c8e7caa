// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "hashep/training.hpp"
#include "runtime/layer/host_experts.hpp"

namespace hashep {

/// The experts of a stack that is trained. What they are comes with their weights: biases are those
/// that the first expert has.
class TrainedExperts final : public HostExperts {
 public:
  TrainedExperts(const ModelConfig& config, const HostExpertsOptions& options,
                 const TrainingOptions& training);

  LayerWeightSink sink(int64_t layer, int64_t first_expert) override;
  bool has_shared() const override { return config_.num_shared_experts > 0; }
  void prepare_kernels(int64_t global_tokens) override;
  void prepare(const ExchangePlan& plan, const BatchPlace& place) override;
  void run_tiles(std::span<const ExpertTile> tiles, MatrixView rows, int64_t first_expert,
                 const FfnTape& tape) override;
  void run_shared(int64_t layer, ConstMatrixView x, const BatchPlace& place, MatrixView out,
                  const FfnTape& tape) override;
  int64_t weight_bytes() const override;
  int64_t scratch_bytes() const override;
  std::string_view implementation() const override;

  /// All routed experts; none where this rank has no experts.
  TrainableFfn* routed() { return routed_ ? &*routed_ : nullptr; }
  /// Those of layer l are expert l; none where there are no shared experts.
  TrainableFfn* shared() { return shared_ ? &*shared_ : nullptr; }

  /// Where a rank's gradient blocks begin, and where the last one ends: rows of its own tokens.
  /// Blocks begin at multiples of `gradient_block` in the global batch. Until the next call.
  std::span<const int64_t> block_edges(int64_t tokens);

  const TrainingOptions& training() const { return training_; }

 private:
  ModelConfig config_;
  HostExpertsOptions options_;
  TrainingOptions training_;
  std::optional<TrainableFfn> routed_;
  std::optional<TrainableFfn> shared_;
  std::vector<int64_t> block_edges_;
};

}  // namespace hashep
