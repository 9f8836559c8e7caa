// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/planning_gain.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "benchmarks/text_format.hpp"

namespace hashep::bench {
namespace {

/// Empty where there is no such row.
std::span<const double> samples_of(std::span<const LayerRow> rows, const std::string& name,
                                   PlanWhen when) {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const LayerRow& row) {
    return row.name == name && row.when == when;
  });
  return found == rows.end() ? std::span<const double>() : std::span(found->samples_us);
}

/// The median over rounds of left + sign * right.
double median_sum(std::span<const double> left, double sign, std::span<const double> right) {
  std::vector<double> sums;
  for (size_t i = 0; i < left.size(); ++i) sums.push_back(left[i] + sign * right[i]);
  return median(sums);
}

std::string cost_line(const char* measure, const PlanningCost& cost, const PlanningGain& gain) {
  const std::optional<double> hidden = cost.hidden();
  return format(
      "# planning on the critical path, by %s: ahead %.1f us (%.2f %% of the step), inline "
      "%.1f us (%.2f %%); hidden %s\n",
      measure, cost.ahead, 100.0 * cost.ahead / gain.ahead_step, cost.in_layer,
      100.0 * cost.in_layer / gain.in_layer_step,
      hidden ? format("%.2f %%", 100.0 * *hidden).c_str() : "-");
}

nlohmann::ordered_json cost_json(const PlanningCost& cost) {
  return {
      {"ahead_us", cost.ahead}, {"inline_us", cost.in_layer}, {"hidden", or_null(cost.hidden())}};
}

}  // namespace

std::optional<double> PlanningCost::hidden() const {
  if (in_layer <= 0.0) return std::nullopt;
  return 1.0 - ahead / in_layer;
}

std::optional<PlanningGain> planning_gain(std::span<const LayerRow> rows) {
  const auto ahead = samples_of(rows, "layer", PlanWhen::ahead);
  const auto in_layer = samples_of(rows, "layer", PlanWhen::in_layer);
  const auto at_hand = samples_of(rows, "layer", PlanWhen::at_hand);
  if (ahead.empty() || in_layer.empty() || at_hand.empty()) return std::nullopt;
  const auto phases = [&](PlanWhen when) {
    return median_sum(samples_of(rows, "route", when), 1.0, samples_of(rows, "plan", when));
  };
  return PlanningGain{
      .by_phases = {phases(PlanWhen::ahead), phases(PlanWhen::in_layer)},
      .by_steps = {median_sum(ahead, -1.0, at_hand), median_sum(in_layer, -1.0, at_hand)},
      .ahead_step = median(ahead),
      .in_layer_step = median(in_layer)};
}

std::string planning_gain_lines(const PlanningGain& gain) {
  return cost_line("phases", gain.by_phases, gain) + cost_line("steps", gain.by_steps, gain);
}

nlohmann::ordered_json planning_gain_json(const PlanningGain& gain) {
  return {{"by_phases", cost_json(gain.by_phases)}, {"by_steps", cost_json(gain.by_steps)}};
}

}  // namespace hashep::bench
