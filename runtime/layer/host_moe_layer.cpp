// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/host_moe_layer.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "hashep/error.hpp"
#include "kernels/gate/gate_scores.hpp"

namespace hashep {

class HostMoeLayer::ForwardWork final : public HostLayerWork {
 public:
  ForwardWork(HostMoeLayer& layer, const LayerRows& rows, LayerWorkspace& workspace,
              LayerTape* tape, PhaseLog& log)
      : HostLayerWork(*layer.exchange_, layer.tiles_, rows.x, rows.y,
                      {.phases = {.layer = layer.layer_},
                       .threads = layer.options_.threads,
                       .overlap = layer.options_.overlap && !layer.is_dense()},
                      log),
        layer_(layer),
        x_(rows.x),
        workspace_(workspace),
        tape_(tape),
        expert_rows_(layer.is_dense() ? MatrixView{} : layer.transport_.expert_rows(*layer.plan_)) {
  }

  std::span<const float> gate() override {
    const ModelConfig& config = layer_.config_;
    if (tape_ != nullptr && layer_.tape_sizes().keeps_input()) {
      std::copy_n(x_.data, x_.bytes(), tape_->input.data());
    }
    if (!layer_.has_gate_weights()) return {};
    const ExchangePlan& plan = *layer_.plan_;
    const std::span<float> weights = std::span(workspace_.weights).first(plan.experts.size());
    if (!layer_.has_gate()) {  // else they came with the choice
      const PhaseLog::Scope scope(log(), Phase::gate, layer_.layer_);
      gate_weights(x_, layer_.gate_.view, plan.experts, plan.top_k, config.routed_scaling_factor,
                   weights, layer_.options_.threads);
    }
    if (tape_ != nullptr) {
      std::ranges::copy(weights, reinterpret_cast<float*>(tape_->weights.data()));
    }
    return weights;
  }

  ConstMatrixView shared_experts() override {
    if (!layer_.experts_.has_shared()) return {};
    const PhaseLog::Scope scope(log(), Phase::shared_experts, layer_.layer_);
    const MatrixView out = workspace_.shared.matrix(layer_.options_.dtype, x_.rows, x_.cols);
    layer_.experts_.run_shared(
        layer_.layer_, x_, layer_.place_, out,
        tape_ == nullptr ? FfnTape{}
                         : kept(layer_.config_.shared_shape(), x_.rows, nullptr, &tape_->shared_z));
    return out;
  }

 private:
  void compute(std::span<const ExpertTile> tiles) override {
    const FfnTape tape = tape_ == nullptr ? FfnTape{}
                                          : kept(layer_.config_.routed_shape(), expert_rows_.rows,
                                                 &tape_->x, &tape_->z);
    layer_.experts_.run_tiles(tiles, expert_rows_, layer_.first_expert_, tape);
  }

  /// Where rows are kept. What is kept follows from the settings: a tape that was another stack's
  /// may have memory for more.
  FfnTape kept(const FfnShape& shape, int64_t rows, Buffer* x, Buffer* z) const {
    const DType dtype = layer_.options_.dtype;
    FfnTape tape;
    if (x != nullptr) tape.x = x->matrix(dtype, rows, shape.hidden_size);
    if (layer_.tape_sizes().keeps_z()) tape.z = z->matrix(dtype, rows, preactivation_size(shape));
    return tape;
  }

  HostMoeLayer& layer_;
  ConstMatrixView x_;
  LayerWorkspace& workspace_;
  LayerTape* tape_;
  MatrixView expert_rows_;
};

HostMoeLayer::HostMoeLayer(const ModelConfig& config, int64_t layer,
                           std::span<const int32_t> local_experts, int64_t first_expert,
                           const WeightSource& weights, const ExecOptions& options,
                           HostExperts& experts, Transport& transport)
    : config_(config),
      layer_(layer),
      local_experts_(local_experts.begin(), local_experts.end()),
      first_expert_(first_expert),
      options_(options),
      experts_(experts),
      trained_(options.training ? static_cast<TrainedExperts*>(&experts) : nullptr),
      transport_(transport),
      exchange_(transport.make_exchange()) {
  WeightReading reading{.check_finite = options.check_finite,
                        .dtype = options.dtype,
                        .form = options.training ? WeightForm::expanded : options.weight_form,
                        .are_streamed = options.weight_memory > 0,
                        .digests = options.digests};
  if (options.watch != nullptr) reading.between = [&] { options.watch->check_in(); };
  LayerWeightSink sink = experts.sink(layer, first_expert);
  LoadedMatrix bias;
  sink.gate = [&](LoadedMatrix gate) { gate_ = std::move(gate); };
  sink.gate_bias = [&](LoadedMatrix of_gate) { bias = std::move(of_gate); };
  read_layer_weights(config, layer, local_experts, weights, reading, sink);
  if (config.shape().has_gate(layer)) {
    learned_.emplace(config, std::move(bias), options.threads);
    learned_->pack(gate_.view);
  }
  if (trained_ == nullptr) return;
  gate_gradient_.reserve(gate_.view.bytes());
  std::fill_n(gate_gradient_.data(), gate_gradient_.capacity(), std::byte{0});
  sums_ = LayerSums(trained_->shared() == nullptr ? nullptr : &trained_->shared()->layout(),
                    gate_.view);
}

void HostMoeLayer::prepare(const ExchangePlan& plan, const BatchPlace& place,
                           LayerWorkspace& workspace) {
  plan_ = &plan;
  place_ = place;
  if (!is_dense()) exchange_->begin(plan);
  experts_.prepare(plan, place);
  if (!is_dense()) tiles_.sort(plan, *exchange_, options_.overlap);
  if (experts_.has_shared()) {
    workspace.shared.reserve(plan.tokens * config_.hidden_size * dtype_size(options_.dtype));
  }
  if (has_gate_weights() && workspace.weights.size() < plan.experts.size()) {
    workspace.weights.resize(plan.experts.size());
  }
}

void HostMoeLayer::choose(ConstMatrixView x, std::span<const uint8_t> is_padding,
                          LayerWorkspace& workspace, LayerTape* tape, std::span<int32_t> experts) {
  Buffer& logits = tape != nullptr ? tape->logits : workspace.logits;
  logits.reserve(x.rows * config_.num_experts * dtype_size(DType::f32));
  if (workspace.weights.size() < experts.size()) workspace.weights.resize(experts.size());
  learned_->choose(x, is_padding, logits.matrix(DType::f32, x.rows, config_.num_experts), experts,
                   std::span(workspace.weights).first(experts.size()));
}

void HostMoeLayer::require_prepared(const ExchangePlan& plan) const {
  if (&plan == plan_) return;
  throw RunError("layer " + std::to_string(layer_) + ": another plan was prepared last");
}

void HostMoeLayer::forward(const ExchangePlan& plan, const LayerRows& rows,
                           LayerWorkspace& workspace, PhaseLog& log, LayerTape* tape) {
  require_prepared(plan);
  ForwardWork work(*this, rows, workspace, tape, log);
  if (!is_dense()) return run_layer_work(work);
  work.gate();
  write_dense(work.shared_experts(), rows.y);
}

void HostMoeLayer::write_dense(ConstMatrixView from, MatrixView y) const {
  std::copy_n(from.data, from.bytes(), y.data);
  for (size_t token = 0; token < place_.is_padding.size(); ++token) {
    if (place_.is_padding[token] == 0) continue;
    std::fill_n(y.row(static_cast<int64_t>(token)), y.row_bytes(), std::byte{0});
  }
}

}  // namespace hashep
