// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/count_exchange.hpp"
#include "hashep/batch_plan.hpp"
#include "runtime/layer/phase_log.hpp"

namespace hashep {

/// Gives a layer's tokens their experts when the layer is reached, as a gate must, which looks at
/// hidden states.
class AssignmentSource {
 public:
  virtual ~AssignmentSource() = default;
  /// experts: [tokens, top_k], as Router::route writes them. Throws InputError on bad input.
  virtual void assign(const RoutedLayer& layer, std::span<int32_t> experts) = 0;
};

/// Plans a batch layer by layer, when the layer is reached: each layer has a planning exchange of
/// its own, which nothing hides. For assignments that are not known ahead; where they are, Planner
/// makes the same plans with one exchange for all layers.
class LayerPlanner {
 public:
  /// Collective. `geometry`, and what `ranks` refers to, must outlive the planner.
  LayerPlanner(const StackGeometry& geometry, const JobRanks& ranks);

  /// Takes the layer's assignments (phase route), exchanges its counts and completes the layer's
  /// plan in `plan`, of which this rank's number of tokens is given and the batch's place becomes
  /// known (phase plan). Throws on all ranks where one failed to assign: CollectiveInputError, or
  /// CollectiveRunError. Collective.
  void plan_layer(int64_t layer, AssignmentSource& source, BatchPlan& plan, PhaseLog& log);

 private:
  const StackGeometry& geometry_;
  int ep_rank_;
  int64_t row_words_;  // a rank's: status, tokens, counts of the layer
  CountExchange exchange_;
  std::vector<CountWord> words_;  // [row_words_]
};

}  // namespace hashep
