// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/scale_loss.hpp"

#include "benchmarks/scale_table.hpp"
#include "hashep/error.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using namespace hashep::bench;

TEST_CASE("a layer's time is cut along the rank whose experts take longest") {
  // Two ranks, three samples; the slowest rank is 1, 0, 1.
  const LayerTimes times{.layer_us = {20.0, 30.0, 40.0},
                         .experts_us = {8.0, 16.0, 20.0, 12.0, 12.0, 28.0},
                         .exchange_us = {6.0, 5.0, 9.0, 3.0, 7.0, 4.0}};
  const ScaleParts parts = time_parts(times);
  CHECK(parts.gemm == Approx(14.0));      // of 10, 14, 24
  CHECK(parts.imbalance == Approx(2.0));  // of 2, 2, 4
  CHECK(parts.exchange == Approx(4.0));   // of 3, 5, 4
  CHECK(parts.other == Approx(10.0));
  CHECK(parts.total() == Approx(30.0));
}

TEST_CASE("one rank has no imbalance, and no sample is an error") {
  const ScaleParts parts =
      time_parts({.layer_us = {10.0}, .experts_us = {7.0}, .exchange_us = {2.0}});
  CHECK(parts.imbalance == 0.0);
  CHECK(parts.gemm == 7.0);
  CHECK(parts.exchange == 2.0);
  CHECK(parts.other == Approx(1.0));
  CHECK_THROWS_AS(time_parts({}), RunError);
}

TEST_CASE("strong scaling loses what parts take beyond their share") {
  const std::vector<ScaleParts> first{
      {.gemm = 80.0, .imbalance = 0.0, .exchange = 16.0, .other = 4.0}};
  // Ideal on 4 ranks: 20 + 0 + 4 + 1 = 25 of the 50 that it takes.
  const std::vector<ScaleParts> here{
      {.gemm = 26.0, .imbalance = 5.0, .exchange = 14.0, .other = 5.0}};
  const Scaling result = scaling(first, here, 0.25);
  CHECK(result.efficiency == Approx(0.5));
  CHECK(result.loss.gemm == Approx(6.0 / 50));
  CHECK(result.loss.imbalance == Approx(5.0 / 50));
  CHECK(result.loss.exchange == Approx(10.0 / 50));
  CHECK(result.loss.other == Approx(4.0 / 50));
  CHECK(result.loss.total() == Approx(1.0 - result.efficiency));
}

TEST_CASE("weak scaling loses what parts take beyond the first size, and may gain") {
  const std::vector<ScaleParts> first{
      {.gemm = 80.0, .imbalance = 0.0, .exchange = 16.0, .other = 4.0}};
  const std::vector<ScaleParts> here{
      {.gemm = 70.0, .imbalance = 10.0, .exchange = 40.0, .other = 5.0}};
  const Scaling result = scaling(first, here, 1.0);
  CHECK(result.efficiency == Approx(0.8));
  CHECK(result.loss.gemm == Approx(-10.0 / 125));
  CHECK(result.loss.total() == Approx(0.2));
}

TEST_CASE("the first size is its own ideal") {
  const std::vector<ScaleParts> first{
      {.gemm = 8.0, .imbalance = 1.0, .exchange = 2.0, .other = 0.5}};
  const Scaling result = scaling(first, first, 1.0);
  CHECK(result.efficiency == 1.0);
  CHECK(result.loss.total() == 0.0);
}

TEST_CASE("repeats are paired, and the loss is that of the median one") {
  // The machine is slower in the second repeat, for both sizes.
  const std::vector<ScaleParts> first{
      {.gemm = 10.0}, {.gemm = 20.0}, {.gemm = 10.0}, {.gemm = 10.0}};
  const std::vector<ScaleParts> here{{.gemm = 8.0, .imbalance = 2.0},
                                     {.gemm = 16.0, .imbalance = 9.0},
                                     {.gemm = 10.0, .exchange = 10.0},
                                     {.gemm = 20.0, .other = 20.0}};
  const Scaling result = scaling(first, here, 1.0);  // 1, 0.8, 0.5, 0.25
  CHECK(result.efficiency_min == 0.25);
  CHECK(result.efficiency_max == 1.0);
  CHECK(result.repeat == 2);
  CHECK(result.efficiency == 0.5);
  CHECK(result.loss.exchange == 0.5);
  CHECK(result.loss.total() == Approx(0.5));
  CHECK_THROWS_AS(scaling(first, {}, 1.0), RunError);
}

TEST_CASE("the bar draws efficiency and losses by their share, and no gains") {
  Scaling result;
  result.efficiency = 0.5;
  result.loss = {.gemm = 0.1, .imbalance = 0.2, .exchange = 0.1, .other = 0.1};
  CHECK(scale_bar(result, 10) == "|=====iixgo|");
  result.loss = {.gemm = 0.0, .imbalance = -0.2, .exchange = 0.7, .other = 0.0};
  CHECK(scale_bar(result, 10) == "|=====xxxxx|");
  result.efficiency = 1.3;
  result.loss = {.gemm = -0.3, .imbalance = 0.0, .exchange = 0.0, .other = 0.0};
  CHECK(scale_bar(result, 10) == "|==========|");
  result.efficiency = 0.5;
  result.loss = {};
  CHECK(scale_bar(result, 4) == "|==  |");
}
