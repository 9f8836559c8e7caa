// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/moe_layer.hpp"

#include <string>

#include "kernels/gate_scores.hpp"
#include "kernels/tiles.hpp"

namespace hashep {

MoeLayer::MoeLayer(const ModelConfig& config, int64_t layer, std::span<const int32_t> local_experts,
                   int64_t first_expert, const WeightSource& weights, const ExecOptions& options,
                   StackExperts& experts)
    : config_(config),
      layer_(layer),
      first_expert_(first_expert),
      options_(options),
      experts_(experts) {
  const std::string where = "layer " + std::to_string(layer);
  for (size_t i = 0; i < local_experts.size(); ++i) {
    if (options.watch != nullptr) options.watch->check_stop();
    const LoadedFfn expert = weights.routed_expert(layer, local_experts[i]);
    if (options.check_finite) {
      require_finite(expert.weights, where + ", expert " + std::to_string(local_experts[i]));
    }
    experts.routed.set_expert(first_expert + static_cast<int64_t>(i), expert.weights);
    weights.drop_pages();
  }
  if (experts.shared) {
    const LoadedFfn shared = weights.shared_experts(layer);
    if (options.check_finite) require_finite(shared.weights, where + ", shared experts");
    experts.shared->set_expert(layer, shared.weights);
    weights.drop_pages();
  }
  if (config.score == Score::sqrtsoftplus) {
    gate_ = weights.gate(layer);
    if (options.check_finite) require_finite(gate_.view, where + ", gate");
  }
}

void MoeLayer::prepare(const ExchangePlan& plan, const BatchPlace& place,
                       LayerWorkspace& workspace) {
  experts_.routed.prepare(plan.expert_offsets);
  if (experts_.shared) {
    experts_.shared->prepare_aligned(shared_tile_rows(place.global_tokens));
    workspace.shared.reserve(plan.tokens * config_.hidden_size * dtype_size(options_.dtype));
  }
  if (config_.score != Score::none && workspace.weights.size() < plan.experts.size()) {
    workspace.weights.resize(plan.experts.size());
  }
}

void MoeLayer::forward(const ExchangePlan& plan, const BatchPlace& place, ConstMatrixView x,
                       MatrixView y, LayerWorkspace& workspace, Transport& transport,
                       PhaseLog& log) {
  std::span<float> weights;  // empty: 1 / top_k each
  if (config_.score == Score::sqrtsoftplus) {
    const PhaseLog::Scope scope(log, Phase::gate, layer_);
    weights = std::span(workspace.weights).first(plan.experts.size());
    gate_weights(x, gate_.view, plan.experts, plan.top_k, config_.routed_scaling_factor, weights,
                 options_.threads);
  }
  MatrixView rows;
  {
    const PhaseLog::Scope scope(log, Phase::dispatch, layer_);
    rows = transport.dispatch(plan, x);
  }
  {
    const PhaseLog::Scope scope(log, Phase::experts, layer_);
    experts_.routed.run(plan.expert_offsets, rows, first_expert_);
  }
  ConstMatrixView shared_rows;
  if (experts_.shared) {
    const PhaseLog::Scope scope(log, Phase::shared_experts, layer_);
    const MatrixView out =
        workspace.shared.matrix(options_.dtype, plan.tokens, config_.hidden_size);
    experts_.shared->run_aligned(x, place.first_token, shared_tile_rows(place.global_tokens), out,
                                 layer_);
    shared_rows = out;
  }
  const PhaseLog::Scope scope(log, Phase::combine, layer_);
  transport.combine(plan, weights, shared_rows, y);
}

}  // namespace hashep
