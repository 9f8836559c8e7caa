// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/moe_layer.hpp"

#include <algorithm>
#include <utility>

#include "kernels/ffn/tiles.hpp"
#include "kernels/gate/gate_scores.hpp"
#include "runtime/layer/layer_weights.hpp"

namespace hashep {

MoeLayer::MoeLayer(const ModelConfig& config, int64_t layer, std::span<const int32_t> local_experts,
                   int64_t first_expert, const WeightSource& weights, const ExecOptions& options,
                   StackExperts& experts)
    : config_(config),
      layer_(layer),
      first_expert_(first_expert),
      options_(options),
      experts_(experts) {
  WeightReading reading{
      .check_finite = options.check_finite, .dtype = options.dtype, .digests = options.digests};
  if (options.watch != nullptr) reading.between = [&] { options.watch->check_in(); };
  read_layer_weights(
      config, layer, local_experts, weights, reading,
      {.routed =
           [&](int64_t expert, const FfnWeights& ffn) {
             experts.routed.set_expert(first_expert + expert, ffn);
           },
       .shared = [&](const FfnWeights& ffn) { experts.shared->set_expert(layer, ffn); },
       .gate = [&](LoadedMatrix gate) { gate_ = std::move(gate); }});
}

void MoeLayer::prepare(const ExchangePlan& plan, const BatchPlace& place,
                       LayerWorkspace& workspace) {
  experts_.routed.prepare(plan.expert_offsets);
  sort_tiles(plan);
  if (experts_.shared) {
    experts_.shared->prepare_aligned(shared_tile_rows(place.global_tokens));
    workspace.shared.reserve(plan.tokens * config_.hidden_size * dtype_size(options_.dtype));
  }
  if (config_.score != Score::none && workspace.weights.size() < plan.experts.size()) {
    workspace.weights.resize(plan.experts.size());
  }
}

void MoeLayer::sort_tiles(const ExchangePlan& plan) {
  const auto& far = plan.across.far_rows;
  const auto is_near = [&far](const ExpertTile& tile) {
    const auto first_after =
        std::upper_bound(far.begin(), far.end(), tile.first_row,
                         [](int64_t row, const Range& rows) { return row < rows.end; });
    return first_after == far.end() || first_after->begin >= tile.first_row + tile.count;
  };
  tiles_.clear();
  for_each_tile(plan.expert_offsets, [&](const ExpertTile& tile) {
    if (is_near(tile)) tiles_.push_back(tile);
  });
  num_near_tiles_ = std::ssize(tiles_);
  for_each_tile(plan.expert_offsets, [&](const ExpertTile& tile) {
    if (!is_near(tile)) tiles_.push_back(tile);
  });
}

int64_t MoeLayer::run_some(int64_t next, int64_t end, MatrixView rows) {
  const int64_t count = std::min<int64_t>(options_.threads, end - next);
  const auto some =
      std::span(tiles_).subspan(static_cast<size_t>(next), static_cast<size_t>(count));
  experts_.routed.run_tiles(some, rows, first_expert_);
  return next + count;
}

void MoeLayer::run_overlapped(const ExchangePlan& plan, std::span<const float> weights,
                              MatrixView rows, Transport& transport, PhaseLog& log) {
  int64_t next = 0;
  while (!transport.poll_dispatch(plan) && next < num_near_tiles_) {
    next = run_some(next, num_near_tiles_, rows);
  }
  {
    const PhaseLog::Scope scope(log, Phase::far_rows, layer_);
    transport.finish_dispatch(plan);
  }
  // Other nodes wait for these; near tiles that are left can be computed while their results
  // travel.
  const auto far = std::span(tiles_).subspan(static_cast<size_t>(num_near_tiles_));
  experts_.routed.run_tiles(far, rows, first_expert_);
  transport.begin_combine(plan, weights);
  while (next < num_near_tiles_) {
    next = run_some(next, num_near_tiles_, rows);
    transport.poll_combine(plan);
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
  const bool overlap = options_.overlap && transport.overlaps(plan);
  MatrixView rows;
  {
    const PhaseLog::Scope scope(log, Phase::dispatch, layer_);
    rows = overlap ? transport.begin_dispatch(plan, x) : transport.dispatch(plan, x);
  }
  {
    const PhaseLog::Scope scope(log, Phase::experts, layer_);
    if (overlap) {
      run_overlapped(plan, weights, rows, transport, log);
    } else {
      experts_.routed.run_tiles(tiles_, rows, first_expert_);
    }
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
