// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "comm/exchange/transport.hpp"
#include "hashep/buffer.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/weight_source.hpp"
#include "kernels/ffn/expert_ffn.hpp"
#include "runtime/layer/layer_weights.hpp"
#include "runtime/layer/phase_log.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep {

/// How a layer computes.
struct ExecOptions {
  DType dtype = DType::f32;          // of activations: f32 or bf16
  int threads = 1;                   // of this rank
  bool overlap = true;               // compute tiles while rows of other nodes travel
  bool check_finite = false;         // refuse weights that are NaN or infinite
  WeightDigests* digests = nullptr;  // of weights, filled in unless null
  Watch* watch = nullptr;            // checked in with while weights are read; may be null
  GemmLibrary gemm_library = GemmLibrary::automatic;
};

/// Memory that layers use one after the other.
struct LayerWorkspace {
  std::vector<float> weights;  // [tokens, top_k]
  Buffer shared;               // [tokens, hidden_size]
};

/// Where a rank's tokens stand in the global batch.
struct BatchPlace {
  int64_t first_token = 0;
  int64_t global_tokens = 0;
};

/// The experts of a whole stack on one rank, so that layers share kernels and scratch. Layer l's
/// local experts are consecutive in `routed`; expert l of `shared` is its shared experts.
struct StackExperts {
  ExpertFfn routed;
  std::optional<ExpertFfn> shared;
};

/// One expert-parallel MoE layer on one rank: gate, dispatch, experts, shared experts, combine.
class MoeLayer {
 public:
  /// Reads the weights of `local_experts` (ascending) and packs them into experts.routed from
  /// `first_expert` on, likewise the shared experts, and reads the gate. Local. Throws InputError
  /// on missing, misshapen or (check_finite) non-finite weights. `experts` must outlive the layer.
  MoeLayer(const ModelConfig& config, int64_t layer, std::span<const int32_t> local_experts,
           int64_t first_expert, const WeightSource& weights, const ExecOptions& options,
           StackExperts& experts);

  /// Makes ready for `forward` with this plan: kernels, scratch, workspace. Ahead of the step.
  /// Local.
  void prepare(const ExchangePlan& plan, const BatchPlace& place, LayerWorkspace& workspace);

  /// y <- layer(x), both [plan.tokens, hidden_size]; y may be x. Collective, through the transport.
  void forward(const ExchangePlan& plan, const BatchPlace& place, ConstMatrixView x, MatrixView y,
               LayerWorkspace& workspace, Transport& transport, PhaseLog& log);

  /// Bytes of the gate's weights.
  int64_t gate_bytes() const { return gate_.view.bytes(); }

 private:
  /// Deals the tiles into near and far ones.
  void sort_tiles(const ExchangePlan& plan);
  /// Dispatch's far rows, experts and the beginning of combine, each while the others go on.
  void run_overlapped(const ExchangePlan& plan, std::span<const float> weights, MatrixView rows,
                      Transport& transport, PhaseLog& log);
  /// Runs up to `threads` of the tiles [next, end); returns the next one.
  int64_t run_some(int64_t next, int64_t end, MatrixView rows);

  ModelConfig config_;
  int64_t layer_;
  int64_t first_expert_;
  ExecOptions options_;
  StackExperts& experts_;
  LoadedMatrix gate_;
  std::vector<ExpertTile> tiles_;  // of the plan prepared last: near ones, then the others
  int64_t num_near_tiles_ = 0;
};

}  // namespace hashep
