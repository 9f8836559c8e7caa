// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "comm/exchange/transport.hpp"
#include "hashep/buffer.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/weight_source.hpp"
#include "kernels/ffn/expert_ffn.hpp"
#include "runtime/layer/layer_weights.hpp"
#include "runtime/layer/phase_log.hpp"
#include "runtime/layer/stack_experts.hpp"
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

/// Hidden states that a layer reads and writes, [tokens, hidden_size]; y may be x.
struct LayerRows {
  ConstMatrixView x;
  MatrixView y;
};

/// One expert-parallel MoE layer on a CPU rank (run_forward). Where the exchange comes in parts,
/// experts compute tiles while rows of other nodes travel.
class HostMoeLayer {
 public:
  /// Reads the weights of `local_experts` (ascending) and packs them into experts.routed from
  /// `first_expert` on, likewise the shared experts, and reads the gate. Local. Throws InputError
  /// on missing, misshapen or (check_finite) non-finite weights. `experts` and `transport` must
  /// outlive the layer.
  HostMoeLayer(const ModelConfig& config, int64_t layer, std::span<const int32_t> local_experts,
               int64_t first_expert, const WeightSource& weights, const ExecOptions& options,
               StackExperts<ExpertFfn>& experts, Transport& transport);

  /// Makes ready for `forward` with this plan, which the transport has room for and which must stay
  /// until then: exchange, kernels, scratch, workspace. Ahead of the step. Local.
  void prepare(const ExchangePlan& plan, const BatchPlace& place, LayerWorkspace& workspace);

  /// y <- layer(x). Collective, through the exchange. Throws RunError where `plan` is not the one
  /// that was prepared last.
  void forward(const ExchangePlan& plan, const LayerRows& rows, LayerWorkspace& workspace,
               PhaseLog& log);

  /// Bytes of the gate's weights.
  int64_t gate_bytes() const { return gate_.view.bytes(); }

 private:
  class Work;

  /// Sorts the tiles by the part of the exchange that brings their rows.
  void sort_tiles(const ExchangePlan& plan);

  ModelConfig config_;
  int64_t layer_;
  int64_t first_expert_;
  ExecOptions options_;
  StackExperts<ExpertFfn>& experts_;
  Transport& transport_;
  std::unique_ptr<Exchange> exchange_;
  LoadedMatrix gate_;

  // Of the plan prepared last.
  const ExchangePlan* plan_ = nullptr;
  BatchPlace place_;
  std::vector<ExpertTile> tiles_;                         // by part
  std::array<Range, Exchange::kMaxParts> tiles_of_part_;  // of tiles_
};

}  // namespace hashep
