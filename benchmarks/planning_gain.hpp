// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>

#include "benchmarks/layer_table.hpp"

namespace hashep::bench {

/// Microseconds of a batch's critical path that planning takes, all layers together.
struct PlanningCost {
  double ahead = 0.0;
  double in_layer = 0.0;

  /// The share of planning that static routing hides: 1 - ahead / in_layer. Nothing where planning
  /// in each layer costs nothing.
  std::optional<double> hidden() const;
};

/// What planning ahead gains over planning in each layer, by two measures; each cost is a median
/// over rounds.
///
/// - by_phases: the phases route and plan, of the slowest rank. A rank that plans ahead routes the
///   next batch and completes the plans of this one on the thread that computes, and all of that is
///   counted. In each layer these phases also hold what the count exchange waits for ranks that
///   come late: time that a layer planned ahead may spend waiting in dispatch.
/// - by_steps: a layer's time less that of the same round with its plans at hand. It counts what
///   the whole step is longer for, whoever waits where; it is a difference of large numbers.
struct PlanningGain {
  PlanningCost by_phases;
  PlanningCost by_steps;
  double ahead_step = 0.0;  // medians of the layer's time
  double in_layer_step = 0.0;
};

/// From the rows of one measurement. Nothing where it has not both ways of planning.
std::optional<PlanningGain> planning_gain(std::span<const LayerRow> rows);

/// Two lines for people, and fields for the JSON rows of the layer planned ahead.
std::string planning_gain_lines(const PlanningGain& gain);
nlohmann::ordered_json planning_gain_json(const PlanningGain& gain);

}  // namespace hashep::bench
