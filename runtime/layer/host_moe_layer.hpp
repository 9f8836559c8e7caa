// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "comm/exchange/transport.hpp"
#include "hashep/buffer.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/training.hpp"
#include "hashep/weight_source.hpp"
#include "runtime/layer/host_experts.hpp"
#include "runtime/layer/host_layer_work.hpp"
#include "runtime/layer/layer_training.hpp"
#include "runtime/layer/layer_weights.hpp"
#include "runtime/layer/learned_gate.hpp"
#include "runtime/layer/phase_log.hpp"
#include "runtime/layer/tape.hpp"
#include "runtime/layer/trained_experts.hpp"
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
  WeightForm weight_form = WeightForm::automatic;
  int64_t weight_memory = 0;                     // bytes for routed experts; 0: all are held
  int64_t weight_lookahead = 0;                  // batches: see StreamingOptions
  bool weights_ahead = true;                     // see StreamingOptions::reads_ahead
  std::optional<TrainingOptions> training = {};  // none: forward alone
};

/// Memory that layers use one after the other.
struct LayerWorkspace {
  std::vector<float> weights;  // [tokens, top_k]
  Buffer shared;               // [tokens, hidden_size]
  Buffer logits;               // of a learned gate, where no tape keeps them. [tokens, num_experts]
};

/// Hidden states that a layer reads and writes, [tokens, hidden_size]; y may be x.
struct LayerRows {
  ConstMatrixView x;
  MatrixView y;
};

/// One expert-parallel MoE layer on a CPU rank (run_layer_work). Where the exchange comes in parts,
/// experts compute tiles while rows of other nodes travel.
class HostMoeLayer {
 public:
  /// Reads the weights of `local_experts` (ascending) into `experts`, from `first_expert` on,
  /// likewise the shared experts, and reads the gate. Local. Throws InputError on missing,
  /// misshapen or (check_finite) non-finite weights. `experts` and `transport` must outlive the
  /// layer; with options.training they are TrainedExperts.
  HostMoeLayer(const ModelConfig& config, int64_t layer, std::span<const int32_t> local_experts,
               int64_t first_expert, const WeightSource& weights, const ExecOptions& options,
               HostExperts& experts, Transport& transport);

  /// Whether a learned gate chooses its tokens' experts.
  bool has_gate() const { return learned_.has_value(); }
  /// Has it choose: experts [tokens, top_k] <- those for hidden states x. `forward` of the same x,
  /// workspace and tape comes next. is_padding: as BatchPlan has it. Local.
  void choose(ConstMatrixView x, std::span<const uint8_t> is_padding, LayerWorkspace& workspace,
              LayerTape* tape, std::span<int32_t> experts);

  /// Makes ready for `forward` and `backward` with this plan, which the transport has room for and
  /// which must stay until then: exchange, kernels, scratch, workspace. Ahead of the step. Local.
  void prepare(const ExchangePlan& plan, const BatchPlace& place, LayerWorkspace& workspace);

  /// y <- layer(x); keeps in `tape`, unless null, what backward needs. Collective, through the
  /// exchange. Throws RunError where `plan` is not the one that was prepared last.
  void forward(const ExchangePlan& plan, const LayerRows& rows, LayerWorkspace& workspace,
               PhaseLog& log, LayerTape* tape = nullptr);

  /// y <- the gradient of forward's x, where x is that of its y; adds to the gradients of
  /// parameters. `tape` is used up. Of layers that are trained; else as forward.
  void backward(const ExchangePlan& plan, const LayerRows& gradients, LayerTape& tape,
                BackwardWorkspace& workspace, PhaseLog& log);

  /// Calls body(parameters) with those of each routed expert, in the order of `local_experts`, then
  /// of the shared experts, then the gate. Of layers that are trained. Local.
  void for_each_ffn(const std::function<void(std::span<const Parameter>)>& body);
  /// The same, and packs for the GEMMs what `change` leaves.
  void update(const std::function<void(std::span<const Parameter>)>& change);
  /// Adds to the gradients of what all ranks hold what backward has left since the last call, the
  /// same on all ranks. Collective.
  void sum_gradients(const Communicator& comm, Watch& watch);
  /// Drops it.
  void clear_sums();
  /// Moves the gate's biases, where it has any: TrainingOptions::bias_step. Local.
  void step_gate_bias();
  /// Adds what the gate's losses are made of for a batch whose `forward` has filled `tape`: see
  /// LearnedGate::add_losses. Local.
  void add_gate_losses(const ExchangePlan& plan, const LayerTape& tape, FixedPointRows& shares,
                       FixedPointRows& squares);

  /// Bytes of the gate's weights, with their gradients where it is trained.
  int64_t gate_bytes() const {
    return gate_.view.bytes() + gate_gradient_.capacity() + (learned_ ? learned_->bytes() : 0);
  }

 private:
  class ForwardWork;
  class BackwardWork;

  void require_prepared(const ExchangePlan& plan) const;
  /// What its tapes keep, where it is trained.
  TapeSizes tape_sizes() const {
    return {config_, options_.dtype, options_.training->recompute, layer_};
  }
  /// Whether x gate^T weights the experts of its tokens.
  bool has_gate_weights() const { return config_.shape().has_gate_weights(layer_); }
  /// Whether it has shared experts alone, and exchanges nothing.
  bool is_dense() const { return config_.num_experts == 0; }
  /// y <- the layer's output or its gradient, of all tokens that are not padding.
  void write_dense(ConstMatrixView from, MatrixView y) const;
  /// Calls body(parameters, ffn, index) with what each is of; of the gate with none.
  template <typename Body>
  void for_each_trained(const Body& body);
  MatrixView gate_gradient() {
    return gate_gradient_.matrix(DType::f32, gate_.view.rows, gate_.view.cols);
  }

  ModelConfig config_;
  int64_t layer_;
  std::vector<int32_t> local_experts_;
  int64_t first_expert_;
  ExecOptions options_;
  HostExperts& experts_;
  TrainedExperts* trained_;  // experts_, where it is trained
  Transport& transport_;
  std::unique_ptr<Exchange> exchange_;
  LoadedMatrix gate_;
  Buffer gate_gradient_;  // as the gate, where it is trained
  std::optional<LearnedGate> learned_;
  LayerSums sums_;
  // Room for lists that backward makes.
  std::vector<GradientSum> gradient_sums_;
  std::vector<ExpertTile> shared_tiles_;

  // Of the plan prepared last.
  const ExchangePlan* plan_ = nullptr;
  BatchPlace place_;
  TilesByPart tiles_;
};

}  // namespace hashep
