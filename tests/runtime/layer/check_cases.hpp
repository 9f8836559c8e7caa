// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "hashep/backend.hpp"
#include "hashep/weight_source.hpp"
#include "runtime/layer/oracle_check.hpp"
#include "runtime/model/model_config.hpp"
#include "tests/kernels/kernel_inputs.hpp"

namespace hashep::test {

/// Weights in memory, to be spoilt.
struct CheckedLayer {
  std::vector<ExpertWeights> experts;
  ExpertWeights shared;
  Matrix gate;
};

/// A model whose layers' weights a test can change, with or without biases.
struct CheckedModel final : WeightSource {
  ModelConfig config;
  bool with_biases = false;
  std::vector<CheckedLayer> layers;

  LoadedFfn routed_expert(int64_t layer, int64_t expert) const override;
  LoadedFfn shared_experts(int64_t layer) const override;
  LoadedMatrix gate(int64_t layer) const override;
  uint64_t shape_digest() const override { return 0; }
};

/// A small stack on one rank, its model and what goes into it.
struct CheckedCase {
  CheckedModel model;
  DType dtype = DType::f32;
  bool residual = true;
  GemmLibrary library = GemmLibrary::automatic;
  std::vector<float> inputs;  // [tokens, hidden_size], rounded to dtype
  BatchPlan plan;

  std::string name() const;
  int64_t tokens() const { return plan.tokens; }
  /// What the layers make of the inputs, with these weights and this plan, of all tokens.
  LayerStates run(const WeightSource& weights, const BatchPlan& with_plan) const;
  /// Of these results, against the oracle with the case's own weights and plan.
  OracleDifference difference(const LayerStates& states) const;
};

/// Shapes, dtypes, layers, top_k, activations, gates, shared experts, biases and scales drawn from
/// `seed`. Some have experts that cancel, or gates whose scores are near the smallest numbers.
CheckedCase random_case(uint64_t seed);

/// One case of these sizes, with shared experts and a gate.
CheckedCase plain_case(ModelConfig config, DType dtype, int64_t tokens, bool residual);

/// One whose weights are all the same, and so are its inputs: errors do not cancel.
CheckedCase even_case(const ModelConfig& config, DType dtype, float weight);

}  // namespace hashep::test
