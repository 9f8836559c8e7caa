// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/host_moe_layer.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "kernels/ffn/tiles.hpp"
#include "kernels/gate/gate_scores.hpp"
#include "runtime/layer/layer_forward.hpp"

namespace hashep {

class HostMoeLayer::Work final : public LayerWork {
 public:
  Work(HostMoeLayer& layer, const LayerRows& rows, LayerWorkspace& workspace, PhaseLog& log)
      : layer_(layer),
        exchange_(*layer.exchange_),
        rows_(rows),
        workspace_(workspace),
        log_(log),
        expert_rows_(layer.transport_.expert_rows(*layer.plan_)),
        in_turn_(layer.options_.overlap && exchange_.num_parts() > 1),
        left_(layer.tiles_of_part_) {}

  int num_parts() const override { return exchange_.num_parts(); }
  bool runs_beside_dispatch() const override { return false; }

  void dispatch(int part) override {
    if (part > 0 && (!in_turn_ || !exchange_.lands(part))) return;
    const PhaseLog::Scope scope(log_, part == 0 ? Phase::dispatch : Phase::far_rows, layer_.layer_);
    if (in_turn_) {
      exchange_.dispatch(part, rows_.x, {});
    } else {
      exchange_.dispatch_all(rows_.x);
    }
  }

  std::span<const float> gate() override {
    const ModelConfig& config = layer_.config_;
    if (config.score != Score::sqrtsoftplus) return {};
    const PhaseLog::Scope scope(log_, Phase::gate, layer_.layer_);
    const ExchangePlan& plan = *layer_.plan_;
    const std::span<float> weights = std::span(workspace_.weights).first(plan.experts.size());
    gate_weights(rows_.x, layer_.gate_.view, plan.experts, plan.top_k, config.routed_scaling_factor,
                 weights, layer_.options_.threads);
    return weights;
  }

  void routed_experts(int part) override {
    if (part == 0) experts_phase_.emplace(log_, Phase::experts, layer_.layer_);
    const bool is_last = part + 1 == num_parts();
    Range& own = left_[part];
    if (in_turn_ && !is_last && !exchange_.gives_back(part)) {
      while (!exchange_.progress() && own.size() > 0) run_some(own);
      return;
    }
    // Others wait for these; what is left can be computed while they travel.
    run(own);
    if (!is_last) return;
    for (Range& range : left_) {
      while (range.size() > 0) {
        run_some(range);
        exchange_.progress();
      }
    }
  }

  void give_back(int part, std::span<const float> weights) override {
    exchange_.give_back(part, weights, {});
    if (part + 1 == num_parts()) experts_phase_.reset();
  }

  ConstMatrixView shared_experts() override {
    std::optional<ExpertFfn>& shared = layer_.experts_.shared;
    if (!shared) return {};
    const PhaseLog::Scope scope(log_, Phase::shared_experts, layer_.layer_);
    const MatrixView out =
        workspace_.shared.matrix(layer_.options_.dtype, rows_.x.rows, rows_.x.cols);
    shared->run_aligned(rows_.x, layer_.place_.first_token,
                        shared_tile_rows(layer_.place_.global_tokens), out, layer_.layer_);
    return out;
  }

  void combine(std::span<const float> weights, ConstMatrixView shared) override {
    const PhaseLog::Scope scope(log_, Phase::combine, layer_.layer_);
    exchange_.combine(weights, shared, rows_.y, {});
  }

 private:
  /// Runs all of a range of tiles, which then is empty.
  void run(Range& range) {
    layer_.experts_.routed.run_tiles(std::span(layer_.tiles_).subspan(range.begin, range.size()),
                                     expert_rows_, layer_.first_expert_);
    range.begin = range.end;
  }
  /// Runs the first of them, one a thread.
  void run_some(Range& range) {
    Range some{range.begin, std::min(range.begin + layer_.options_.threads, range.end)};
    range.begin = some.end;
    run(some);
  }

  HostMoeLayer& layer_;
  Exchange& exchange_;
  const LayerRows& rows_;
  LayerWorkspace& workspace_;
  PhaseLog& log_;
  MatrixView expert_rows_;
  bool in_turn_;                                 // a part is brought in when its rows are needed
  std::array<Range, Exchange::kMaxParts> left_;  // tiles of each part that were not run yet
  std::optional<PhaseLog::Scope> experts_phase_;
};

HostMoeLayer::HostMoeLayer(const ModelConfig& config, int64_t layer,
                           std::span<const int32_t> local_experts, int64_t first_expert,
                           const WeightSource& weights, const ExecOptions& options,
                           StackExperts<ExpertFfn>& experts, Transport& transport)
    : config_(config),
      layer_(layer),
      first_expert_(first_expert),
      options_(options),
      experts_(experts),
      transport_(transport),
      exchange_(transport.make_exchange()) {
  WeightReading reading{
      .check_finite = options.check_finite, .dtype = options.dtype, .digests = options.digests};
  if (options.watch != nullptr) reading.between = [&] { options.watch->check_in(); };
  read_layer_weights(
      config, layer, local_experts, weights, reading,
      experts.sink(layer, first_expert, [&](LoadedMatrix gate) { gate_ = std::move(gate); }));
}

void HostMoeLayer::prepare(const ExchangePlan& plan, const BatchPlace& place,
                           LayerWorkspace& workspace) {
  plan_ = &plan;
  place_ = place;
  exchange_->begin(plan);
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

void HostMoeLayer::sort_tiles(const ExchangePlan& plan) {
  tiles_.clear();
  tiles_of_part_ = {};
  for (int part = 0; part < exchange_->num_parts(); ++part) {
    const int64_t begin = std::ssize(tiles_);
    for_each_tile(plan.expert_offsets, [&](const ExpertTile& tile) {
      const Range rows{tile.first_row, tile.first_row + tile.count};
      if (exchange_->part_of(rows) == part) tiles_.push_back(tile);
    });
    tiles_of_part_[part] = {begin, std::ssize(tiles_)};
  }
}

void HostMoeLayer::forward(const ExchangePlan& plan, const LayerRows& rows,
                           LayerWorkspace& workspace, PhaseLog& log) {
  if (&plan != plan_) {
    throw RunError("layer " + std::to_string(layer_) + ": another plan was prepared last");
  }
  Work work(*this, rows, workspace, log);
  run_forward(work);
}

}  // namespace hashep
