// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "hashep/backend.hpp"
#include "hashep/batch_plan.hpp"
#include "hashep/exchange_plan.hpp"
#include "kernels/ffn/tiles.hpp"
#include "kernels/ffn/trainable_ffn.hpp"
#include "runtime/layer/layer_weights.hpp"
#include "runtime/layer/streaming_stats.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep {

/// Where a rank's tokens stand in the global batch, and what else of it a layer needs beside its
/// plan. Views are of the batch's plans.
struct BatchPlace {
  int64_t first_token = 0;
  int64_t global_tokens = 0;
  std::span<const uint8_t> is_padding = {};     // [tokens]; empty: no token is
  std::span<const int64_t> expert_counts = {};  // of the layer, over all ranks. [num_experts]
};

/// The experts of all layers of a stack on a CPU rank, the routed ones that it owns and the shared
/// ones. Layer l's local experts are consecutive among all routed ones. Local.
class HostExperts {
 public:
  virtual ~HostExperts() = default;

  /// Takes the weights of a layer whose routed experts begin at `first_expert`, all but its gate.
  virtual LayerWeightSink sink(int64_t layer, int64_t first_expert) = 0;
  virtual bool has_shared() const = 0;

  /// Makes all kernels that a batch of so many tokens over all ranks can need.
  virtual void prepare_kernels(int64_t global_tokens) = 0;
  /// This batch will be run after those that were expected before, all its layers in their order:
  /// weights that are not held are read ahead. For batches whose layers are planned.
  virtual void expect(const BatchPlan&) {}
  /// It is run now, expected or not.
  virtual void begin(const BatchPlan&) {}
  /// One of its layers is, by itself.
  virtual void begin_layer(const BatchPlan&, int64_t /*layer*/) {}
  /// Makes ready for a layer of a batch.
  virtual void prepare(const ExchangePlan& plan, const BatchPlace& place) = 0;

  /// As ExpertFfn::run_tiles, and keeps what `tape` has memory for.
  virtual void run_tiles(std::span<const ExpertTile> tiles, MatrixView rows, int64_t first_expert,
                         const FfnTape& tape) = 0;
  /// out <- the layer's shared experts of x, this rank's own tokens.
  virtual void run_shared(int64_t layer, ConstMatrixView x, const BatchPlace& place, MatrixView out,
                          const FfnTape& tape) = 0;

  /// Bytes of weights, and of scratch between the GEMMs.
  virtual int64_t weight_bytes() const = 0;
  virtual int64_t scratch_bytes() const = 0;
  /// What the GEMMs run on, one line.
  virtual std::string_view implementation() const = 0;
  /// What was read, where weights are read when they are needed.
  virtual std::optional<StreamingStats> streaming() const { return std::nullopt; }
};

/// How many experts of which kind there are, and what computes them.
struct HostExpertsOptions {
  DType dtype = DType::f32;
  int64_t num_routed = 0;  // of all layers, on this rank
  int64_t num_layers = 0;
  int threads = 1;
  GemmLibrary library = GemmLibrary::automatic;
};

/// Experts whose weights are packed once: nothing is kept of rows.
std::unique_ptr<HostExperts> make_packed_experts(const ModelConfig& config,
                                                 const HostExpertsOptions& options);

}  // namespace hashep
