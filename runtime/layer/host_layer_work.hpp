// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "comm/exchange/exchange.hpp"
#include "hashep/split.hpp"
#include "kernels/ffn/tiles.hpp"
#include "runtime/layer/layer_work.hpp"
#include "runtime/layer/phase_log.hpp"

namespace hashep {

/// The tiles of a plan, sorted by the part of the exchange that brings their rows.
struct TilesByPart {
  std::vector<ExpertTile> tiles;
  std::array<Range, Exchange::kMaxParts> of_part;  // of tiles

  /// by_part: else all belong to the first part, which then brings the rows of all.
  void sort(const ExchangePlan& plan, const Exchange& exchange, bool by_part);
};

/// What forward and backward of a layer on a CPU rank have in common: rows come in parts, tiles of
/// one are computed while rows of others travel, and results return as soon as they are there.
class HostLayerWork : public LayerWork {
 public:
  int num_parts() const final { return exchange_.num_parts(); }
  bool runs_beside_dispatch() const final { return false; }
  void dispatch(int part) final;
  void routed_experts(int part) final;
  void give_back(int part, std::span<const float> weights) final;
  void combine(std::span<const float> weights, ConstMatrixView shared) final;

 protected:
  /// What the parts of the work are called, and where they are.
  struct Phases {
    Phase dispatch = Phase::dispatch;
    Phase experts = Phase::experts;
    Phase combine = Phase::combine;
    int64_t layer = 0;
  };
  struct Settings {
    Phases phases;
    int threads = 1;
    bool overlap = true;
  };

  /// x is dispatched, y takes what is combined. References must outlive this.
  HostLayerWork(Exchange& exchange, const TilesByPart& tiles, ConstMatrixView x, MatrixView y,
                const Settings& settings, PhaseLog& log);

  Exchange& exchange() { return exchange_; }
  PhaseLog& log() { return log_; }
  const Phases& phases() const { return settings_.phases; }

 private:
  /// Computes some tiles, whose rows are there, in place.
  virtual void compute(std::span<const ExpertTile> tiles) = 0;

  void run(Range& range);
  void run_some(Range& range);

  Exchange& exchange_;
  const TilesByPart& tiles_;
  ConstMatrixView x_;
  MatrixView y_;
  Settings settings_;
  PhaseLog& log_;
  bool in_turn_;                                 // a part is brought in when its rows are needed
  std::array<Range, Exchange::kMaxParts> left_;  // tiles of each part that were not run yet
  std::optional<PhaseLog::Scope> experts_phase_;
};

}  // namespace hashep
