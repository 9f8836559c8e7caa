// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/scale_loss.hpp"

#include <algorithm>
#include <numeric>

#include "hashep/error.hpp"
#include "launch/process/result_json.hpp"

namespace hashep::bench {

ScaleParts time_parts(const LayerTimes& times) {
  const size_t samples = times.layer_us.size();
  if (samples == 0) throw RunError("no sample of a layer");
  const size_t ranks = times.experts_us.size() / samples;
  std::vector<double> gemm;
  std::vector<double> imbalance;
  std::vector<double> exchange;
  for (size_t sample = 0; sample < samples; ++sample) {
    size_t slowest = sample;  // place in [ranks, samples]
    double sum = 0.0;
    for (size_t i = sample; i < times.experts_us.size(); i += samples) {
      sum += times.experts_us[i];
      if (times.experts_us[i] > times.experts_us[slowest]) slowest = i;
    }
    gemm.push_back(sum / static_cast<double>(ranks));
    imbalance.push_back(times.experts_us[slowest] - gemm.back());
    exchange.push_back(times.exchange_us[slowest]);
  }
  ScaleParts parts{median(gemm), median(imbalance), median(exchange), 0.0};
  parts.other = median(times.layer_us) - parts.total();
  return parts;
}

Scaling scaling(std::span<const ScaleParts> first, std::span<const ScaleParts> here,
                double ideal_share) {
  if (here.empty() || first.size() != here.size()) throw RunError("no repeats to compare");
  std::vector<double> efficiencies;
  for (size_t i = 0; i < here.size(); ++i) {
    efficiencies.push_back(ideal_share * first[i].total() / here[i].total());
  }
  std::vector<size_t> order(here.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return efficiencies[a] < efficiencies[b]; });
  Scaling result;
  result.repeat = order[(order.size() - 1) / 2];
  result.efficiency = efficiencies[result.repeat];
  result.efficiency_min = efficiencies[order.front()];
  result.efficiency_max = efficiencies[order.back()];
  const ScaleParts& then = first[result.repeat];
  const ScaleParts& now = here[result.repeat];
  const auto share = [&](double ScaleParts::*part) {
    return (now.*part - ideal_share * (then.*part)) / now.total();
  };
  result.loss = {share(&ScaleParts::gemm), share(&ScaleParts::imbalance),
                 share(&ScaleParts::exchange), share(&ScaleParts::other)};
  return result;
}

}  // namespace hashep::bench
