// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/scale_plan.hpp"

#include "hashep/error.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using namespace hashep::bench;

namespace {

ScaleOptions small_options() {
  ScaleOptions options;
  options.layer.common.tokens_per_rank = 60;
  options.layer.common.num_experts = 8;
  return options;
}

std::vector<ScalePoint> points_of(const ScalePlan& plan, const std::string& name) {
  std::vector<ScalePoint> points;
  for (const ScaleSeries& series : plan.series) {
    if (series.name != name) continue;
    for (const size_t i : series.points) points.push_back(plan.points[i]);
  }
  return points;
}

}  // namespace

TEST_CASE("sizes are the powers of two and all ranks") {
  ScaleOptions options = small_options();
  options.modes = {"weak"};
  CHECK(plan_scaling(options, 1).sizes == std::vector{1});
  CHECK(plan_scaling(options, 2).sizes == std::vector{1, 2});
  CHECK(plan_scaling(options, 3).sizes == std::vector{1, 2, 3});
  CHECK(plan_scaling(options, 8).sizes == std::vector{1, 2, 4, 8});
  CHECK(plan_scaling(options, 11).sizes == std::vector{1, 2, 4, 8, 11});
}

TEST_CASE("sizes that are asked for are sorted, and must be there") {
  ScaleOptions options = small_options();
  options.ranks = {4, 2, 4};
  CHECK(plan_scaling(options, 5).sizes == std::vector{2, 4});
  CHECK_THROWS_AS(plan_scaling(options, 3), InputError);
}

TEST_CASE("strong scaling divides one batch, weak scaling keeps a rank's tokens") {
  const ScalePlan plan = plan_scaling(small_options(), 3);
  CHECK(points_of(plan, "strong") == std::vector<ScalePoint>{{1, 180, 8}, {2, 90, 8}, {3, 60, 8}});
  CHECK(points_of(plan, "weak") == std::vector<ScalePoint>{{1, 60, 8}, {2, 60, 8}, {3, 60, 8}});
  // The largest size is the same in both, and measured once.
  CHECK(plan.points.size() == 5);
  CHECK(plan.series[0].points.back() == plan.series[1].points.back());
  CHECK(plan.series[0].ideal_share({1, 180, 8}, {3, 60, 8}) == Approx(1.0 / 3));
  CHECK(plan.series[0].ideal_share({2, 90, 8}, {3, 60, 8}) == Approx(2.0 / 3));
  CHECK(plan.series[1].ideal_share({1, 60, 8}, {3, 60, 8}) == 1.0);
}

TEST_CASE("the batch may be given, and must divide evenly") {
  ScaleOptions options = small_options();
  options.modes = {"strong"};
  options.batch_tokens = 12;
  CHECK(points_of(plan_scaling(options, 4), "strong") ==
        std::vector<ScalePoint>{{1, 12, 8}, {2, 6, 8}, {4, 3, 8}});
  CHECK_THROWS_AS(plan_scaling(options, 8), InputError);
  options.modes = {"weak"};
  CHECK_NOTHROW(plan_scaling(options, 8));
}

TEST_CASE("experts may grow with ranks where scaling is weak") {
  ScaleOptions options = small_options();
  options.experts_per_rank = 4;
  const ScalePlan plan = plan_scaling(options, 2);
  CHECK(points_of(plan, "weak") == std::vector<ScalePoint>{{1, 60, 4}, {2, 60, 8}});
  CHECK(points_of(plan, "strong") == std::vector<ScalePoint>{{1, 120, 8}, {2, 60, 8}});
  options.layer.common.top_k = 6;  // of 4 experts
  CHECK_THROWS_AS(plan_scaling(options, 2), InputError);
}

TEST_CASE("a point's layer has its tokens and experts") {
  const LayerOptions layer = layer_options(small_options(), {2, 7, 5});
  CHECK(layer.common.tokens_per_rank == 7);
  CHECK(layer.common.num_experts == 5);
}
