// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/host_layer_work.hpp"

#include <algorithm>
#include <iterator>

namespace hashep {

void TilesByPart::sort(const ExchangePlan& plan, const Exchange& exchange, bool by_part) {
  tiles.clear();
  of_part = {};
  for (int part = 0; part < exchange.num_parts(); ++part) {
    const int64_t begin = std::ssize(tiles);
    for_each_tile(plan.expert_offsets, [&](const ExpertTile& tile) {
      const Range rows{tile.first_row, tile.first_row + tile.count};
      if ((by_part ? exchange.part_of(rows) : 0) == part) tiles.push_back(tile);
    });
    of_part[part] = {begin, std::ssize(tiles)};
  }
}

HostLayerWork::HostLayerWork(Exchange& exchange, const TilesByPart& tiles, ConstMatrixView x,
                             MatrixView y, const Settings& settings, PhaseLog& log)
    : exchange_(exchange),
      tiles_(tiles),
      x_(x),
      y_(y),
      settings_(settings),
      log_(log),
      in_turn_(settings.overlap && exchange.num_parts() > 1),
      left_(tiles.of_part) {}

void HostLayerWork::dispatch(int part) {
  if (part > 0 && (!in_turn_ || !exchange_.lands(part))) return;
  const PhaseLog::Scope scope(log_, part == 0 ? phases().dispatch : Phase::far_rows,
                              phases().layer);
  if (in_turn_) {
    exchange_.dispatch(part, x_, {});
  } else {
    exchange_.dispatch_all(x_);
  }
}

void HostLayerWork::routed_experts(int part) {
  if (part == 0) experts_phase_.emplace(log_, phases().experts, phases().layer);
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

void HostLayerWork::give_back(int part, std::span<const float> weights) {
  exchange_.give_back(part, weights, {});
  if (part + 1 == num_parts()) experts_phase_.reset();
}

void HostLayerWork::combine(std::span<const float> weights, ConstMatrixView shared) {
  const PhaseLog::Scope scope(log_, phases().combine, phases().layer);
  exchange_.combine(weights, shared, y_, {});
}

/// Runs all of a range of tiles, which then is empty.
void HostLayerWork::run(Range& range) {
  compute(std::span(tiles_.tiles).subspan(range.begin, range.size()));
  range.begin = range.end;
}

/// Runs the first of them, one a thread.
void HostLayerWork::run_some(Range& range) {
  Range some{range.begin, std::min(range.begin + settings_.threads, range.end)};
  range.begin = some.end;
  run(some);
}

}  // namespace hashep
