// SPDX-License-Identifier: Apache-2.0
#include "kernels/gate/expert_choice.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/gate/score_slope.hpp"
#include "kernels/parallel.hpp"
#include "kernels/require.hpp"

namespace hashep {
namespace {

constexpr int64_t kTokensPerThread = 16;
constexpr float kLeast = -std::numeric_limits<float>::infinity();

float score_of(Score score, float logit) {
  return score == Score::sigmoid ? sigmoid(logit) : sqrt_softplus(logit);
}

float slope_of(Score score, float logit, float value) {
  return score == Score::sigmoid ? value * (1.0f - value) : sqrt_softplus_slope(logit, value);
}

float largest(std::span<const float> values) {
  float most = kLeast;
  for (const float value : values) most = value > most ? value : most;
  return most;
}

/// out <- exp(logits - the largest); returns their sum.
float exponentials(std::span<const float> logits, float most, std::span<float> out) {
  float sum = 0.0f;
  for (size_t i = 0; i < logits.size(); ++i) {
    out[i] = std::exp(logits[i] - most);
    sum += out[i];
  }
  return sum;
}

/// The k largest, in falling order; of equal ones the lowest index first.
class Largest {
 public:
  explicit Largest(int top_k) : values_(static_cast<size_t>(top_k)) {}

  void choose(std::span<const float> values, std::span<int32_t> experts) {
    size_t found = 0;
    for (size_t e = 0; e < values.size(); ++e) {
      const float value = std::isnan(values[e]) ? kLeast : values[e];
      if (found == experts.size() && !(value > values_[found - 1])) continue;
      size_t place = found < experts.size() ? found++ : found - 1;
      for (; place > 0 && value > values_[place - 1]; --place) {
        values_[place] = values_[place - 1];
        experts[place] = experts[place - 1];
      }
      values_[place] = value;
      experts[place] = static_cast<int32_t>(e);
    }
  }

 private:
  std::vector<float> values_;
};

/// Weights of one token's choices, and their gradients.
class TokenGate {
 public:
  TokenGate(const GateRule& rule, int64_t num_experts)
      : rule_(rule), largest_(rule.top_k), values_(static_cast<size_t>(num_experts)) {}

  void choose(std::span<const float> logits, std::span<const float> bias,
              std::span<int32_t> experts, std::span<float> weights) {
    if (rule_.kind == GateKind::softmax_top_k) {
      largest_.choose(logits, experts);
      softmax_weights(logits, experts, weights);
      return;
    }
    for (size_t e = 0; e < logits.size(); ++e) {
      values_[e] = score_of(rule_.score, logits[e]) + (bias.empty() ? 0.0f : bias[e]);
    }
    largest_.choose(values_, experts);
    float sum = 0.0f;
    for (size_t j = 0; j < experts.size(); ++j) {
      weights[j] = score_of(rule_.score, logits[experts[j]]);
      sum += weights[j];
    }
    for (float& weight : weights) weight = normalised_score(weight, sum, rule_.scale);
  }

  void to_gradients(std::span<const int32_t> experts, std::span<const float> weight_gradients,
                    const GateLossFactors& losses, std::span<float> logits) {
    gradients_.assign(logits.size(), 0.0f);
    if (rule_.kind == GateKind::softmax_top_k) {
      add_softmax_gradients(experts, weight_gradients, logits);
    } else {
      add_score_gradients(experts, weight_gradients, logits);
    }
    if (losses.balance > 0.0f) add_balance_gradients(losses, logits);
    if (losses.z > 0.0f) add_z_gradients(losses, logits);
    std::ranges::copy(gradients_, logits.begin());
  }

  void add_losses(std::span<const float> logits, std::span<float> shares, float& squares) {
    const float log_sum = shares_of(logits);
    for (size_t e = 0; e < logits.size(); ++e) shares[e] += values_[e];
    squares += log_sum * log_sum;
  }

 private:
  void softmax_weights(std::span<const float> logits, std::span<const int32_t> experts,
                       std::span<float> weights) {
    const float most = logits[experts.front()];
    if (experts.size() == 1) {
      weights.front() = 1.0f / exponentials(logits, most, values_);
      return;
    }
    for (size_t j = 0; j < experts.size(); ++j) weights[j] = logits[experts[j]];
    const float sum = exponentials(weights, most, weights);
    for (float& weight : weights) weight /= sum;
  }

  void add_softmax_gradients(std::span<const int32_t> experts,
                             std::span<const float> weight_gradients,
                             std::span<const float> logits) {
    if (experts.size() == 1) {
      const float most = logits[experts.front()];
      const float sum = exponentials(logits, most, values_);
      const float of_chosen = weight_gradients.front() / sum;
      for (size_t e = 0; e < logits.size(); ++e) gradients_[e] -= of_chosen * (values_[e] / sum);
      gradients_[experts.front()] += of_chosen;
      return;
    }
    weights_.resize(experts.size());
    softmax_weights(logits, experts, weights_);
    float mean = 0.0f;
    for (size_t j = 0; j < experts.size(); ++j) mean += weight_gradients[j] * weights_[j];
    for (size_t j = 0; j < experts.size(); ++j) {
      gradients_[experts[j]] += weights_[j] * (weight_gradients[j] - mean);
    }
  }

  /// As gate_logit_gradients.
  void add_score_gradients(std::span<const int32_t> experts,
                           std::span<const float> weight_gradients, std::span<const float> logits) {
    float total = 1e-20f;
    float product = 0.0f;
    for (size_t j = 0; j < experts.size(); ++j) {
      const float score = score_of(rule_.score, logits[experts[j]]);
      total += score;
      product += weight_gradients[j] * score;
    }
    for (size_t j = 0; j < experts.size(); ++j) {
      const float logit = logits[experts[j]];
      const float of_score = rule_.scale / total * (weight_gradients[j] - product / total);
      gradients_[experts[j]] +=
          of_score * slope_of(rule_.score, logit, score_of(rule_.score, logit));
    }
  }

  /// values_ <- each expert's probability, or share of scores; returns logsumexp.
  float shares_of(std::span<const float> logits) {
    const float most = largest(logits);
    float sum = exponentials(logits, most, values_);
    const float log_sum = most + std::log(sum);
    if (rule_.kind == GateKind::noaux_tc) {
      sum = 1e-20f;
      for (size_t e = 0; e < logits.size(); ++e) {
        values_[e] = score_of(rule_.score, logits[e]);
        sum += values_[e];
      }
      total_ = sum;
    }
    for (float& value : values_) value /= sum;
    return log_sum;
  }

  /// num_experts * sum_e f_e P_e: of a probability p_e that is num_experts * f_e / tokens.
  void add_balance_gradients(const GateLossFactors& losses, std::span<const float> logits) {
    shares_of(logits);
    const float factor = losses.balance * losses.per_token * static_cast<float>(logits.size());
    float mean = 0.0f;
    for (size_t e = 0; e < logits.size(); ++e) mean += losses.loads[e] * values_[e];
    for (size_t e = 0; e < logits.size(); ++e) {
      const float of_share = factor * (losses.loads[e] - mean);
      gradients_[e] += rule_.kind == GateKind::softmax_top_k
                           ? of_share * values_[e]
                           : of_share / total_ *
                                 slope_of(rule_.score, logits[e], score_of(rule_.score, logits[e]));
    }
  }

  void add_z_gradients(const GateLossFactors& losses, std::span<const float> logits) {
    const float most = largest(logits);
    const float sum = exponentials(logits, most, values_);
    const float factor = 2.0f * losses.z * losses.per_token * (most + std::log(sum));
    for (size_t e = 0; e < logits.size(); ++e) gradients_[e] += factor * (values_[e] / sum);
  }

  GateRule rule_;
  Largest largest_;
  std::vector<float> values_;     // [num_experts]
  std::vector<float> gradients_;  // [num_experts]
  std::vector<float> weights_;    // [top_k]
  float total_ = 1.0f;            // of scores
};

template <typename T>
std::span<T> of_token(std::span<T> all, int64_t token, int top_k) {
  const auto k = static_cast<size_t>(top_k);
  return all.subspan(static_cast<size_t>(token) * k, k);
}

template <typename View>
auto logits_of(const View& logits, int64_t token) {
  return std::span(logits.template row_as<float>(token), static_cast<size_t>(logits.cols));
}

void require_sizes(const GateRule& rule, ConstMatrixView logits, size_t experts, size_t weights) {
  const auto assignments = static_cast<size_t>(logits.rows * rule.top_k);
  require(logits.dtype == DType::f32 && rule.top_k >= 1 && rule.top_k <= logits.cols &&
              experts == assignments && weights == assignments,
          "a gate's choices do not have the shape of its logits");
}

}  // namespace

void choose_experts(const GateRule& rule, ConstMatrixView logits, std::span<const float> bias,
                    std::span<const uint8_t> is_padding, std::span<int32_t> experts,
                    std::span<float> weights, int threads) {
  require_sizes(rule, logits, experts.size(), weights.size());
  require(bias.empty() || std::ssize(bias) == logits.cols, "a gate's bias is of other experts");
  require(is_padding.empty() || std::ssize(is_padding) == logits.rows,
          "a gate's padding is of other tokens");
  parallel_ranges(logits.rows, threads, kTokensPerThread, [&](int64_t begin, int64_t end) {
    TokenGate gate(rule, logits.cols);
    for (int64_t token = begin; token < end; ++token) {
      const auto chosen = of_token(experts, token, rule.top_k);
      const auto of_chosen = of_token(weights, token, rule.top_k);
      if (!is_padding.empty() && is_padding[token] != 0) {
        std::ranges::fill(chosen, -1);
        std::ranges::fill(of_chosen, 0.0f);
      } else {
        gate.choose(logits_of(logits, token), bias, chosen, of_chosen);
      }
    }
  });
}

void to_logit_gradients(const GateRule& rule, std::span<const int32_t> experts,
                        std::span<const float> weight_gradients, const GateLossFactors& losses,
                        MatrixView logits, int threads) {
  require_sizes(rule, logits, experts.size(), weight_gradients.size());
  require(losses.balance == 0.0f || std::ssize(losses.loads) == logits.cols,
          "a gate's loads are of other experts");
  parallel_ranges(logits.rows, threads, kTokensPerThread, [&](int64_t begin, int64_t end) {
    TokenGate gate(rule, logits.cols);
    for (int64_t token = begin; token < end; ++token) {
      const auto chosen = of_token(experts, token, rule.top_k);
      const auto of_logits = logits_of(logits, token);
      if (chosen.front() < 0) {
        std::ranges::fill(of_logits, 0.0f);
      } else {
        gate.to_gradients(chosen, of_token(weight_gradients, token, rule.top_k), losses, of_logits);
      }
    }
  });
}

void add_gate_losses(const GateRule& rule, ConstMatrixView logits, std::span<const int32_t> experts,
                     std::span<float> shares, float& squares) {
  require_sizes(rule, logits, experts.size(), experts.size());
  require(std::ssize(shares) == logits.cols, "a gate's shares are of other experts");
  TokenGate gate(rule, logits.cols);
  for (int64_t token = 0; token < logits.rows; ++token) {
    if (of_token(experts, token, rule.top_k).front() < 0) continue;
    gate.add_losses(logits_of(logits, token), shares, squares);
  }
}

}  // namespace hashep
