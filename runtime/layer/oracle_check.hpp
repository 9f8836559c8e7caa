// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "hashep/batch_plan.hpp"
#include "hashep/split.hpp"
#include "hashep/weight_source.hpp"
#include "kernels/ffn/oracle.hpp"
#include "runtime/layer/layer_states.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep {

/// What the oracle computes, and what it allows for.
struct OracleOptions {
  OracleNumbers numbers;
  bool residual = true;
  bool node_reduce = false;  // sums are rounded to the dtype on their way between nodes
};

/// The naive oracle for the stack's layers `layers`: what `tokens` (indices on this rank) become.
/// Layers mix no tokens, so a sample checks as well as a whole batch. inputs: [tokens.size(),
/// hidden_size] floats, row t being the input of tokens[t], already rounded to the dtype; returned
/// likewise, each with the bound of its error. The experts of each token are taken from
/// plan.layers[l].experts; where a learned gate has chosen them, and the oracle's would have chosen
/// others, throws RunError. Reads one expert's weights at a time. Local.
std::vector<Bounded> oracle_stack(const ModelConfig& config, const WeightSource& weights,
                                  const BatchPlan& plan, const Range& layers,
                                  std::span<const int64_t> tokens, std::span<const float> inputs,
                                  const OracleOptions& options);

/// Multiply-adds the oracle spends on one token.
int64_t oracle_cost_per_token(const ModelConfig& config);

/// How far results are from the oracle's.
struct OracleDifference {
  /// The largest |got - want| / |want| and |reach| / |want| over rows that are not zero, in
  /// Euclidean norms. For people: rows that cancel have large ones.
  double relative_error = 0.0;
  double relative_bound = 0.0;
  /// The largest |got - want| / reach over elements: 1 or less where rounding explains all;
  /// infinity where a value or a bound is not finite.
  double share = 0.0;
  // The element where it is, after which layer.
  int64_t layer = 0;
  int64_t row = 0;
  int64_t col = 0;
  double got = 0.0;
  Bounded want;

  bool is_explained() const { return share <= 1.0; }
  /// The element and its values, for people.
  std::string text() const;
};

/// Both are [rows, cols], after `layer`.
OracleDifference compare_with_oracle(std::span<const float> got, std::span<const Bounded> want,
                                     int64_t cols, int64_t layer = 0);

/// The same for a stack's hidden states: after each layer where they were kept, each layer being
/// held to what it was given; else after the last. Local.
OracleDifference compare_with_oracle(const ModelConfig& config, const WeightSource& weights,
                                     const BatchPlan& plan, const LayerStates& states,
                                     const OracleOptions& options);

}  // namespace hashep
