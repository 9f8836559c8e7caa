// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/choice_weights.hpp"

#include "kernels/gate/gate_scores.hpp"

namespace hashep::bench {

std::vector<float> choice_weights(const ModelConfig& config, const WeightSource& weights,
                                  const ExchangePlan& plan, ConstMatrixView x) {
  std::vector<float> chosen(plan.experts.size(), 1.0f / static_cast<float>(plan.top_k));
  if (config.score == Score::sqrtsoftplus) {
    const LoadedMatrix gate = weights.gate(0);
    gate_weights(x, gate.view, plan.experts, plan.top_k, config.routed_scaling_factor, chosen, 1);
  }
  return chosen;
}

}  // namespace hashep::bench
