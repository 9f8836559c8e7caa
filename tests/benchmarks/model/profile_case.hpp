// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "benchmarks/model/machine_profile.hpp"

namespace hashep::test {

/// A machine of round numbers, each level with one of its own.
inline bench::MachineProfile round_profile(bool overlap = false) {
  bench::MachineProfile profile;
  profile.name = "round";
  profile.ranks_per_node = 2;
  profile.overlap = overlap;
  profile.at(bench::Level::copy) = {1.0, 0.0, 100.0, {}, "test"};
  profile.at(bench::Level::permute) = {0.0, 0.0, 50.0, {}, "test"};
  profile.at(bench::Level::node) = {2.0, 0.0, 20.0, {}, "test"};
  profile.at(bench::Level::message) = {0.0, 3.0, 10.0, {}, "test"};
  profile.at(bench::Level::network) = {0.0, 5.0, 1.0, {}, "test"};
  profile.gemm["fp32"] = {{1.0, 10.0}, {4.0, 40.0}, {16.0, 80.0}};
  return profile;
}

}  // namespace hashep::test
