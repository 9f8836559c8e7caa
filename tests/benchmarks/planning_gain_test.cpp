// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/planning_gain.hpp"

#include <nlohmann/json.hpp>
#include <vector>

#include "tests/support/catch.hpp"

using namespace hashep;
using namespace hashep::bench;

namespace {

LayerRow row(const char* name, PlanWhen when, std::vector<double> samples) {
  LayerRow row;
  row.name = name;
  row.when = when;
  row.samples_us = std::move(samples);
  return row;
}

std::vector<LayerRow> both_ways() {
  return {row("route", PlanWhen::ahead, {2, 2, 9}),
          row("plan", PlanWhen::ahead, {3, 3, 3}),
          row("layer", PlanWhen::ahead, {104, 204, 110}),
          row("route", PlanWhen::in_layer, {2, 2, 2}),
          row("plan", PlanWhen::in_layer, {48, 98, 48}),
          row("layer", PlanWhen::in_layer, {140, 240, 130}),
          row("layer", PlanWhen::at_hand, {100, 200, 90})};
}

}  // namespace

TEST_CASE("what planning costs is told by phases and by steps, round by round") {
  const auto gain = planning_gain(both_ways());
  REQUIRE(gain);
  CHECK(gain->by_phases.ahead == 5.0);
  CHECK(gain->by_phases.in_layer == 50.0);
  CHECK(*gain->by_phases.hidden() == 0.9);
  CHECK(gain->by_steps.ahead == 4.0);      // of 4, 4, 20
  CHECK(gain->by_steps.in_layer == 40.0);  // of 40, 40, 40
  CHECK(*gain->by_steps.hidden() == 0.9);
  CHECK(gain->ahead_step == 110.0);
  CHECK(planning_gain_lines(*gain).find("by phases: ahead 5.0 us (4.55 % of the step), inline "
                                        "50.0 us (35.71 %); hidden 90.00 %") != std::string::npos);
  CHECK(planning_gain_json(*gain)["by_steps"]["hidden"] == 0.9);
}

TEST_CASE("one way of planning gains nothing over itself; planning for nothing hides nothing") {
  auto rows = both_ways();
  rows.erase(rows.begin() + 3, rows.begin() + 6);
  CHECK_FALSE(planning_gain(rows));
  CHECK_FALSE((PlanningCost{.ahead = 1.0, .in_layer = 0.0}.hidden()));
}
