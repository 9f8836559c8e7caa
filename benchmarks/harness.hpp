// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "launch/process/result_json.hpp"

namespace hashep::bench {

/// How often things are measured.
struct Sampling {
  int warmup = 1;
  int samples = 7;
};

/// Something to be timed: `prepare` puts its inputs in place, untimed, before each `run`.
struct Timed {
  std::function<void()> prepare;
  std::function<void()> run;
};

/// Times things in turn, sample by sample, so that a drift of the machine meets all alike. Returns
/// each one's samples in microseconds, in the order of `things`.
std::vector<std::vector<double>> time_in_turn(const Sampling& sampling,
                                              std::span<const Timed> things);

/// One readable line: name, workload, dtype, median, spread, and `note`.
void print_row(const MeasuredRow& row, const std::string& note);

}  // namespace hashep::bench
