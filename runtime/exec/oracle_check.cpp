// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/oracle_check.hpp"

#include <cmath>
#include <limits>
#include <map>

#include "kernels/oracle.hpp"

namespace hashep {
namespace {

float rounded(float value, DType dtype) {
  return dtype == DType::bf16 ? static_cast<float>(BFloat16(value)) : value;
}

/// One layer over some tokens of one rank.
class OracleLayer {
 public:
  OracleLayer(const ModelConfig& config, const WeightSource& weights, const ExchangePlan& plan,
              int64_t layer, DType dtype)
      : config_(config), weights_(weights), plan_(plan), layer_(layer), dtype_(dtype) {}

  /// inputs: [tokens.size(), hidden_size] -> layer output of the same shape.
  std::vector<float> run(std::span<const int64_t> tokens, std::span<const float> inputs) const {
    const auto outputs = expert_outputs(tokens, inputs);
    LoadedFfn shared;
    if (config_.num_shared_experts > 0) shared = weights_.shared_experts(layer_);
    LoadedMatrix gate;
    if (config_.score == Score::sqrtsoftplus) gate = weights_.gate(layer_);

    std::vector<float> result(inputs.size());
    const auto width = static_cast<size_t>(config_.hidden_size);
    for (size_t t = 0; t < tokens.size(); ++t) {
      const auto experts = experts_of(tokens[t]);
      if (experts[0] < 0) continue;  // padding: zero
      const auto x = inputs.subspan(t * width, width);
      std::vector<float> choice_weights(experts.size(), 1.0f / static_cast<float>(experts.size()));
      if (config_.score == Score::sqrtsoftplus) {
        choice_weights = oracle_gate_weights(gate.view, experts, config_.routed_scaling_factor, x);
      }
      std::vector<double> sum(width);
      for (size_t j = 0; j < experts.size(); ++j) {
        const std::vector<float>& row = outputs[t * experts.size() + j];
        for (size_t c = 0; c < width; ++c)
          sum[c] += static_cast<double>(choice_weights[j]) * row[c];
      }
      if (config_.num_shared_experts > 0) {
        const auto row = oracle_expert(config_.shared_shape(), dtype_, shared.weights, x);
        for (size_t c = 0; c < width; ++c) sum[c] += row[c];
      }
      for (size_t c = 0; c < width; ++c) {
        result[t * width + c] = rounded(static_cast<float>(sum[c]), dtype_);
      }
    }
    return result;
  }

 private:
  std::span<const int32_t> experts_of(int64_t token) const {
    const auto top_k = static_cast<size_t>(plan_.top_k);
    return std::span(plan_.experts).subspan(static_cast<size_t>(token) * top_k, top_k);
  }

  /// Output row of each (token, choice), expert by expert so that one expert's weights are held.
  std::vector<std::vector<float>> expert_outputs(std::span<const int64_t> tokens,
                                                 std::span<const float> inputs) const {
    const auto top_k = static_cast<size_t>(plan_.top_k);
    const auto width = static_cast<size_t>(config_.hidden_size);
    std::map<int32_t, std::vector<size_t>> slots_of;  // expert -> t * top_k + j
    for (size_t t = 0; t < tokens.size(); ++t) {
      const auto experts = experts_of(tokens[t]);
      for (size_t j = 0; j < top_k; ++j) {
        if (experts[j] >= 0) slots_of[experts[j]].push_back(t * top_k + j);
      }
    }
    std::vector<std::vector<float>> outputs(tokens.size() * top_k);
    for (const auto& [expert, slots] : slots_of) {
      const LoadedFfn loaded = weights_.routed_expert(layer_, expert);
      for (const size_t slot : slots) {
        outputs[slot] = oracle_expert(config_.routed_shape(), dtype_, loaded.weights,
                                      inputs.subspan(slot / top_k * width, width));
      }
    }
    return outputs;
  }

  const ModelConfig& config_;
  const WeightSource& weights_;
  const ExchangePlan& plan_;
  int64_t layer_;
  DType dtype_;
};

}  // namespace

std::vector<float> oracle_stack(const ModelConfig& config, const WeightSource& weights,
                                const BatchPlan& plan, std::span<const int64_t> tokens,
                                std::vector<float> inputs, const OracleOptions& options) {
  std::vector<float> x = std::move(inputs);
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const OracleLayer oracle(config, weights, plan.layers[static_cast<size_t>(layer)], layer,
                             options.dtype);
    std::vector<float> y = oracle.run(tokens, x);
    if (options.residual) {
      for (size_t i = 0; i < y.size(); ++i) y[i] = rounded(x[i] + y[i], options.dtype);
    }
    x = std::move(y);
  }
  return x;
}

int64_t oracle_cost_per_token(const ModelConfig& config) {
  const int64_t matrices = config.activation == Activation::silu ? 3 : 2;
  return config.num_layers * (config.top_k + config.num_shared_experts) * matrices *
         config.hidden_size * config.ffn_size;
}

double max_relative_error(std::span<const float> got, std::span<const float> want, int64_t cols) {
  double worst = 0.0;
  for (size_t begin = 0; begin < want.size(); begin += static_cast<size_t>(cols)) {
    double difference = 0.0;
    double norm = 0.0;
    for (size_t i = begin; i < begin + static_cast<size_t>(cols); ++i) {
      const double delta = static_cast<double>(got[i]) - want[i];
      difference += delta * delta;
      norm += static_cast<double>(want[i]) * want[i];
    }
    if (difference == 0.0) continue;
    const double error = std::sqrt(difference / norm);
    if (!std::isfinite(error)) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, error);
  }
  return worst;
}

double error_bound(DType dtype) {
  return dtype == DType::bf16 ? 1e-2 : 1e-5;
}

}  // namespace hashep
