// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/fit_profile.hpp"

#include "benchmarks/model/nonnegative_fit.hpp"
#include "hashep/error.hpp"
#include "tests/benchmarks/model/profile_case.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using namespace hashep::bench;

namespace {

/// A machine whose levels are to be found again.
MachineProfile planted_profile() {
  MachineProfile profile = test::round_profile();
  profile.network_per_node = true;
  profile.at(Level::copy) = {2e-7, 0.0, 2e10, {{20000.0, 8e10}}, "planted"};
  profile.at(Level::permute) = {0.0, 0.0, 1.2e10, {{20000.0, 3e10}}, "planted"};
  profile.at(Level::node) = {3e-7, 0.0, 1e10, {{20000.0, 2e10}}, "planted"};
  profile.at(Level::message) = {0.0, 4e-6, 3e9, {{20000.0, 5e9}}, "planted"};
  profile.at(Level::network) = {0.0, 5e-5, 1.2e8, {}, "planted"};
  return profile;
}

/// Another machine, of the same caches.
MachineProfile base_profile() {
  MachineProfile base = test::round_profile();
  base.network_per_node = true;
  base.at(Level::copy).cached = {{20000.0, 1.0}};
  return base;
}

MeasuredPoint point_of(Move move, Direction direction, int64_t tokens, int ranks) {
  MeasuredPoint point;
  point.file = "planted.json";
  point.label = "planted";
  point.move = move;
  point.direction = direction;
  point.routing.workload.vocab_size = 512;
  point.tokens_per_rank = tokens;
  point.shape = {.batch_tokens = tokens * ranks,
                 .num_experts = 8,
                 .top_k = 2,
                 .ranks = ranks,
                 .ranks_per_node = 2};
  point.ffn.hidden_size = 16;
  return point;
}

/// What that machine takes for a sweep of all exchanges, of which every third size is held out and
/// took `held_out_factor` as long.
Measurements planted_measurements(JobCache& jobs, double held_out_factor) {
  Measurements measurements;
  int64_t size = 0;
  for (const int64_t tokens : {3, 8, 20, 50, 110, 300, 700, 1500, 4000}) {
    ++size;
    for (const int ranks : {1, 2, 4}) {
      for (const Move move : {Move::push, Move::packed, Move::once, Move::raw, Move::copied}) {
        if (move == Move::push && ranks > 2) continue;
        for (const Direction direction : {Direction::dispatch, Direction::combine}) {
          MeasuredPoint point = point_of(move, direction, tokens, ranks);
          point.held_out = size % 3 == 0;
          point.seconds = predict_seconds(point, jobs.of(point), planted_profile()) *
                          (point.held_out ? held_out_factor : 1.0);
          measurements.points.push_back(point);
        }
      }
    }
  }
  return measurements;
}

}  // namespace

TEST_CASE("non-negative least squares finds coefficients, and stops at zero") {
  const auto found = fit_nonnegative({{1, 2, 0}, {3, 1, 0}, {2, 5, 0}}, {8, 9, 19});
  CHECK(found[0] == Approx(2.0));
  CHECK(found[1] == Approx(3.0));
  CHECK(found[2] == 0.0);
  // Without bounds: 3 and -1. With the second at zero the first is (2 + 1) / (1 + 1).
  const auto bounded = fit_nonnegative({{1, 1}, {1, 2}}, {2, 1});
  CHECK(bounded[0] == Approx(1.5));
  CHECK(bounded[1] == 0.0);
}

TEST_CASE("a fit finds the levels that measurements were made with") {
  JobCache jobs;
  const FittedProfile fitted = fit_profile(base_profile(), planted_measurements(jobs, 1.0), jobs);
  const MachineProfile planted = planted_profile();
  for (const Level level : kLevels) {
    INFO(level_name(level));
    CHECK(fitted.profile.at(level).bytes_per_s ==
          Approx(planted.at(level).bytes_per_s).epsilon(1e-3));
    REQUIRE(fitted.profile.at(level).cached.size() == planted.at(level).cached.size());
    for (size_t i = 0; i < planted.at(level).cached.size(); ++i) {
      CHECK(fitted.profile.at(level).cached[i].bytes_per_s ==
            Approx(planted.at(level).cached[i].bytes_per_s).epsilon(1e-3));
    }
    CHECK(fitted.profile.at(level).latency_s == Approx(planted.at(level).latency_s).epsilon(1e-3));
    CHECK(fitted.profile.at(level).message_s == Approx(planted.at(level).message_s).epsilon(1e-3));
  }
  CHECK(*median_error(fitted.errors, "held out") < 1e-3);
  CHECK(fitted.profile.band.low == Approx(1.0).epsilon(1e-3));
}

TEST_CASE("held-out points are not fitted, and their error is that of the prediction") {
  JobCache jobs;
  const FittedProfile fitted = fit_profile(base_profile(), planted_measurements(jobs, 1.25), jobs);
  CHECK(*median_error(fitted.errors, "fitted") < 1e-3);
  CHECK(*median_error(fitted.errors, "held out") == Approx(0.2).epsilon(1e-2));  // 1 / 1.25 - 1
  CHECK(fitted.profile.band.low == Approx(1.25).epsilon(1e-2));
  CHECK(fitted.profile.fit["held out"]["median_error"].get<double>() == Approx(0.2).epsilon(1e-2));
  CHECK(fitted.profile.fit["held out"]["points"] == 84);
}

TEST_CASE("what cannot be fitted is refused") {
  JobCache jobs;
  CHECK_THROWS_AS(fit_profile(base_profile(), {}, jobs), InputError);
  CHECK_THROWS_AS(fit_profile(test::round_profile(true), planted_measurements(jobs, 1.0), jobs),
                  InputError);
}
