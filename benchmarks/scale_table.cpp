// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/scale_table.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "core/format.hpp"

namespace hashep::bench {
namespace {

constexpr int kBarWidth = 40;

}  // namespace

const char* const kScaleColumns =
    "# effic.: ideal time over time, of the median repeat, and its least and greatest over repeats;"
    " ideal is the\n"
    "#   first line's time, divided by the growth in ranks where scaling is strong\n"
    "# lost, percent of the time: imbal. slowest rank's experts beyond the mean rank's; exch. its\n"
    "#   dispatch and combine beyond the first line's; gemm the mean rank's experts beyond the "
    "first"
    " line's; other\n"
    "# bar: = efficiency, i imbalance, x exchange, g gemm, o other; *: ranks share cores\n"
    "#\n"
    "#        dtype  ranks  tokens/rank  transport    layer us  effic.     least  greatest"
    "   imbal.   exch.    gemm   other\n";

std::string scale_bar(const Scaling& scaling, int width) {
  const std::array<std::pair<char, double>, 5> shares = {{{'=', scaling.efficiency},
                                                          {'i', scaling.loss.imbalance},
                                                          {'x', scaling.loss.exchange},
                                                          {'g', scaling.loss.gemm},
                                                          {'o', scaling.loss.other}}};
  std::string bar;
  double end = 0.0;
  for (const auto& [letter, share] : shares) {
    end += std::max(0.0, share);
    const double columns = std::round(std::min(1.0, end) * width);
    bar.resize(static_cast<size_t>(columns), letter);
  }
  bar.resize(width, ' ');
  return "|" + bar + "|";
}

std::string scale_line(const MeasuredRow& row, int ranks, const Scaling& scaling, bool shared) {
  const std::string line = format(
      "%-8s %-5s  %4d%c  %11lld  %-9s %11.1f  %6.3f  %8.3f  %8.3f  %6.1f%% %6.1f%% "
      "%6.1f%% %6.1f%%  ",
      row.name.c_str(), row.dtype.value_or("").c_str(), ranks, shared ? '*' : ' ',
      static_cast<long long>(row.tokens_per_rank.value_or(0)), row.transport.value_or("").c_str(),
      median(row.samples_us), scaling.efficiency, scaling.efficiency_min, scaling.efficiency_max,
      100.0 * scaling.loss.imbalance, 100.0 * scaling.loss.exchange, 100.0 * scaling.loss.gemm,
      100.0 * scaling.loss.other);
  return line + scale_bar(scaling, kBarWidth) + "\n";
}

}  // namespace hashep::bench
