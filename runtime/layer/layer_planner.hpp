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

  /// The next batch, of which this rank has so many tokens. Local.
  void begin(int64_t tokens);
  /// Takes the layer's assignments (phase route), exchanges its counts and completes its plan
  /// (phase plan). Throws on all ranks where one failed to assign: CollectiveInputError, or
  /// CollectiveRunError. Collective.
  void plan_layer(int64_t layer, AssignmentSource& source, PhaseLog& log);

  /// Of the batch begun last, layer by layer; its place is known with its first layer.
  /// expert_counts and counts_digest stay empty.
  const BatchPlan& plan() const { return plan_; }

 private:
  const StackGeometry& geometry_;
  int ep_rank_;
  int64_t row_words_;  // a rank's: status, tokens, counts of the layer
  CountExchange exchange_;
  std::vector<CountWord> words_;  // [row_words_]
  BatchPlan plan_;
};

}  // namespace hashep
