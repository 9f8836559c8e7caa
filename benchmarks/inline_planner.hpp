// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "benchmarks/workload.hpp"
#include "runtime/layer/layer_planner.hpp"

namespace hashep::bench {

/// Plans as a router must whose choices are known at run time only: layer by layer, when the layer
/// is reached, with a count exchange in each. The router itself is the static one, so that the
/// plans are those that are made ahead, and what differs is when they are made. (A learned router's
/// GEMM comes on top.)
class InlinePlanner : private AssignmentSource {
 public:
  /// Collective. `workload`, and what `ranks` refers to, must outlive the planner.
  InlinePlanner(const Workload& workload, const BatchSplit& split, const JobRanks& ranks);

  /// Reads this rank's ids of the next batch. Local.
  void start(PhaseLog& log);
  /// See LayerPlanner::plan_layer. Collective.
  void plan_layer(int64_t layer, PhaseLog& log) { planner_.plan_layer(layer, *this, plan_, log); }

  /// Of the batch started last; whole once all its layers are planned.
  const BatchPlan& plan() const { return plan_; }

 private:
  void assign(const RoutedLayer& layer, std::span<int32_t> experts) override;

  const Workload& workload_;
  BatchSplit split_;
  LayerPlanner planner_;
  BatchPlan plan_;
  StreamBatch batch_;
  std::string error_;  // of reading
};

}  // namespace hashep::bench
