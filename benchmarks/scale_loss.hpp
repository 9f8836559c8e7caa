// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace hashep::bench {

/// What one measurement of a layer on n ranks says, in microseconds.
struct LayerTimes {
  std::vector<double> layer_us;     // [samples], each the slowest rank's
  std::vector<double> experts_us;   // [ranks, samples]: the experts' GEMMs alone
  std::vector<double> exchange_us;  // [ranks, samples]: dispatch, combine, waiting for far rows
};

/// A layer's time, or its loss, cut in four. Of a sample, with the slowest rank being the one whose
/// experts took longest (it need not wait for other ranks' experts in combine):
///   gemm       mean over ranks of the experts' time
///   imbalance  the slowest rank's experts' time - gemm
///   exchange   the slowest rank's dispatch, combine, and waiting for far rows
///   other      the layer's time - all of these
struct ScaleParts {
  double gemm = 0.0;
  double imbalance = 0.0;
  double exchange = 0.0;
  double other = 0.0;

  double total() const { return gemm + imbalance + exchange + other; }
};

/// Each part's median over samples; `other` is what is left of the layer's median, so that the
/// parts add up to it. Throws RunError where there is no sample.
ScaleParts time_parts(const LayerTimes& times);

/// How well a layer scales to one size, from repeated measurements.
struct Scaling {
  double efficiency = 1.0;  // ideal time / time, of the median repeat
  double efficiency_min = 1.0;
  double efficiency_max = 1.0;
  ScaleParts loss;    // shares of the time, adding up to 1 - efficiency; of the median repeat
  size_t repeat = 0;  // the one of median efficiency, the lower of two in the middle
};

/// `first`, `here`: [repeats], the parts of the smallest size and of this one, measured in turn.
/// The ideal time is the first size's times `ideal_share` (strong: its ranks / these ranks, weak:
/// 1), and the loss of a part is (part here - ideal_share * part there) / time here. Throws
/// RunError where there is no repeat.
Scaling scaling(std::span<const ScaleParts> first, std::span<const ScaleParts> here,
                double ideal_share);

}  // namespace hashep::bench
