// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>

#include "benchmarks/bench_device_cpu.hpp"
#include "benchmarks/exchange_yardsticks.hpp"
#include "benchmarks/expert_gemms.hpp"
#include "benchmarks/rank_harness.hpp"

namespace hashep::bench {

/// What a layer cannot be faster than, on this rank: the GEMMs of its experts with nothing around
/// them (`gemm_alone`), and a local copy of the rows that it sends in dispatch (`copy_bound`).
class LayerYardsticks {
 public:
  /// The things to time, in this order.
  enum Thing : size_t { kGemmAlone, kCopyPlain, kCopyStreaming };

  /// References must outlive the yardsticks. Local.
  LayerYardsticks(const ModelConfig& config, const WeightSource& weights,
                  std::span<const Placement> placements, int ep_rank, const ExecOptions& exec);

  /// The rows of this layer are copied from now on, as often as there are layers (each sends as
  /// many). Local.
  void set_copied(const ExchangePlan& plan);

  /// Runs each and adds up what is wrong. layers: the plans of all layers. Local.
  void check(std::span<const ExchangePlan> layers);
  int64_t wrong_in_gemms() const { return wrong_in_gemms_; }
  int64_t wrong_in_copies() const { return wrong_in_copies_; }

  /// `layers` tells the plans that the GEMMs are to have rows for.
  std::array<RankTimed, 3> things(const std::function<std::span<const ExchangePlan>()>& layers);

 private:
  int64_t hidden_size_;
  int64_t num_layers_;
  DType dtype_;
  ExpertGemms gemms_;
  CpuBenchDevice device_;
  CopyRows copied_{device_};
  LocalCopy plain_;
  LocalCopy streaming_;
  int64_t wrong_in_gemms_ = 0;
  int64_t wrong_in_copies_ = 0;
};

}  // namespace hashep::bench
