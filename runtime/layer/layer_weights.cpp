// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/layer_weights.hpp"

#include <string>
#include <utility>

#include "core/quantised_matrix.hpp"
#include "runtime/model/expand_ffn.hpp"
#include "runtime/model/require_finite.hpp"
#include "runtime/model/weight_sample.hpp"

namespace hashep {
namespace {

bool can_be_packed(const FfnWeights& weights) {
  const QuantisedFfn& quantised = weights.quantised;
  return can_stay_packed(quantised.w1) && can_stay_packed(quantised.w2) &&
         can_stay_packed(quantised.w3);
}

LoadedFfn in_form(LoadedFfn ffn, WeightForm form) {
  const bool expands = form == WeightForm::expanded ||
                       (form == WeightForm::automatic && !can_be_packed(ffn.weights));
  return expands ? expanded(std::move(ffn)) : std::move(ffn);
}

}  // namespace

void read_layer_weights(const ModelConfig& config, int64_t layer,
                        std::span<const int32_t> local_experts, const WeightSource& weights,
                        const WeightReading& reading, const LayerWeightSink& sink) {
  const std::string where = "layer " + std::to_string(layer);
  WeightDigests::Layer unused;
  auto& digests = reading.digests == nullptr ? unused : reading.digests->layers[layer];
  for (size_t i = 0; i < local_experts.size(); ++i) {
    if (reading.between) reading.between();
    if (reading.are_streamed) {
      if (reading.digests != nullptr) {
        digests.experts[local_experts[i]] =
            weights.sample_expert(layer, local_experts[i]).value_or(0);
      }
      continue;
    }
    LoadedFfn expert = weights.routed_expert(layer, local_experts[i]);
    if (reading.check_finite) {
      require_finite(expert.weights, where + ", expert " + std::to_string(local_experts[i]),
                     reading.dtype);
    }
    if (reading.digests != nullptr) {
      digests.experts[local_experts[i]] = weight_sample(expert.weights, layer, local_experts[i]);
    }
    expert = in_form(std::move(expert), reading.form);
    sink.routed(static_cast<int64_t>(i), expert.weights);
  }
  if (config.num_shared_experts > 0) {
    LoadedFfn shared = weights.shared_experts(layer);
    if (reading.check_finite) {
      require_finite(shared.weights, where + ", shared experts", reading.dtype);
    }
    if (reading.digests != nullptr) digests.shared = content_digest(shared.weights);
    shared = in_form(std::move(shared), reading.form);
    sink.shared(shared.weights);
  }
  if (!config.shape().has_gate_weights(layer)) return;
  LoadedMatrix gate = weights.gate(layer);
  if (reading.check_finite) require_finite(gate.view, where + ", gate");
  if (reading.digests != nullptr) digests.gate = content_digest(gate.view);
  sink.gate(std::move(gate));
  if (!config.shape().has_gate_bias(layer)) return;
  LoadedMatrix bias = weights.gate_bias(layer);
  if (reading.check_finite) require_finite(bias.view, where + ", gate bias");
  if (reading.digests != nullptr) digests.gate = content_digest(bias.view, digests.gate);
  sink.gate_bias(std::move(bias));
}

}  // namespace hashep
