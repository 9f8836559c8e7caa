// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "hashep/batch_plan.hpp"
#include "hashep/tensor_view.hpp"
#include "hashep/training.hpp"
#include "hashep/weight_source.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep::bench {

/// One rank's share of a layer, of one batch: what went in and what came out.
struct LayerDump {
  const ModelConfig& config;
  const WeightSource& weights;  // of the dtype of x
  const BatchPlan& plan;
  std::span<const int32_t> ids;  // [tokens]
  ConstMatrixView x;             // [tokens, hidden_size]
  ConstMatrixView y;             // the same shape and dtype
  ConstMatrixView dy = {};       // with a backward: gradients of y and x
  ConstMatrixView dx = {};
  std::span<const Parameter> parameters = {};  // and this rank's, with theirs
};

/// Writes it to the safetensors file `folder`/rank-R.safetensors, for peers to compute the same: x,
/// y [tokens, d]; token_ids [tokens] i32; experts [tokens, k] i32, -1 for padding; weights [tokens,
/// k] fp32, per choice; and the local experts' weights, in x's dtype, under the names that a model
/// folder has for layer 0; with a backward dy, dx, and NAME.gradient (fp32) of each of them.
/// Metadata: activation, ep_rank, ep_size, num_experts. Whole or not at all. Local. Throws
/// InputError where the folder cannot be written to.
void dump_layer(const LayerDump& dump, const std::string& folder);

}  // namespace hashep::bench
