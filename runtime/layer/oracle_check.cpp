// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/oracle_check.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>
#include <string>
#include <utility>

#include "hashep/error.hpp"
#include "runtime/model/expand_ffn.hpp"

namespace hashep {
namespace {

/// One layer over some tokens of one rank.
class OracleLayer {
 public:
  OracleLayer(const ModelConfig& config, const WeightSource& weights, const BatchPlan& batch,
              int64_t layer, const OracleOptions& options)
      : config_(config),
        weights_(weights),
        batch_(batch),
        plan_(batch.layers[layer]),
        layer_(layer),
        options_(options) {}

  /// inputs: [tokens.size(), hidden_size] -> layer output of the same shape.
  std::vector<Bounded> run(std::span<const int64_t> tokens, std::span<const Bounded> inputs) const {
    const auto outputs = expert_outputs(tokens, inputs);
    LoadedFfn shared;
    if (config_.num_shared_experts > 0) shared = expanded(weights_.shared_experts(layer_));
    LoadedMatrix gate;
    LoadedMatrix bias;
    if (has_gate_weights()) gate = weights_.gate(layer_);
    if (config_.shape().has_gate_bias(layer_)) bias = weights_.gate_bias(layer_);
    const DType dtype = options_.numbers.dtype;
    const double unit = dtype == DType::bf16 ? kBf16Unit : kUnit;

    std::vector<Bounded> result(inputs.size());
    const auto width = static_cast<size_t>(config_.hidden_size);
    for (size_t t = 0; t < tokens.size(); ++t) {
      if (is_padding(tokens[t])) continue;  // zero
      const auto experts = experts_of(tokens[t]);
      const auto x = inputs.subspan(t * width, width);
      const std::vector<Bounded> choice_weights =
          weights_of(tokens[t], experts, gate.view, bias.view, x);
      std::vector<Bounded> shared_row;
      if (config_.num_shared_experts > 0) {
        shared_row = oracle_expert(config_.shared_shape(), options_.numbers, shared.weights, x);
      }
      const auto rows = std::span(outputs).subspan(t * experts.size(), experts.size());
      const auto combined =
          oracle_combine(choice_weights, rows, shared_row, options_.node_reduce ? unit : 0.0);
      for (size_t c = 0; c < width; ++c) result[t * width + c] = rounded(combined[c], dtype);
    }
    return result;
  }

 private:
  bool has_gate_weights() const { return config_.shape().has_gate_weights(layer_); }

  bool is_padding(int64_t token) const {
    if (plan_.top_k > 0) return experts_of(token).front() < 0;
    return !batch_.is_padding.empty() && batch_.is_padding[token] != 0;
  }

  std::vector<Bounded> weights_of(int64_t token, std::span<const int32_t> experts,
                                  ConstMatrixView gate, ConstMatrixView bias,
                                  std::span<const Bounded> x) const {
    if (!has_gate_weights()) return std::vector<Bounded>(experts.size(), equal_weight());
    if (!config_.shape().has_gate(layer_)) {
      return oracle_gate_weights(gate, experts, config_.routed_scaling_factor, x);
    }
    const GateRule rule{.kind = config_.gate->kind,
                        .score = config_.score,
                        .top_k = plan_.top_k,
                        .scale = config_.routed_scaling_factor};
    const std::span<const float> biases(reinterpret_cast<const float*>(bias.data),
                                        static_cast<size_t>(bias.rows * bias.cols));
    OracleChoice choice = oracle_choice(rule, gate, biases, experts, x);
    if (choice.chosen < 0) return std::move(choice.weights);
    throw RunError("layer " + std::to_string(layer_) + ", token " +
                   std::to_string(batch_.first_token + token) + ": its gate chose expert " +
                   std::to_string(choice.chosen) + " before expert " +
                   std::to_string(choice.passed_over) + ", the naive oracle does not");
  }

  std::span<const int32_t> experts_of(int64_t token) const {
    const auto top_k = static_cast<size_t>(plan_.top_k);
    return std::span(plan_.experts).subspan(static_cast<size_t>(token) * top_k, top_k);
  }

  Bounded equal_weight() const {
    if (plan_.top_k == 1) return {1.0, 0.0, 0.0};
    const double weight = 1.0 / plan_.top_k;
    return {weight, 0.0, kUnit * weight};
  }

  /// Output row of each (token, choice), expert by expert so that one expert's weights are held.
  std::vector<std::vector<Bounded>> expert_outputs(std::span<const int64_t> tokens,
                                                   std::span<const Bounded> inputs) const {
    const auto top_k = static_cast<size_t>(plan_.top_k);
    const auto width = static_cast<size_t>(config_.hidden_size);
    std::map<int32_t, std::vector<size_t>> slots_of;  // expert -> t * top_k + j
    for (size_t t = 0; t < tokens.size(); ++t) {
      const auto experts = experts_of(tokens[t]);
      for (size_t j = 0; j < top_k; ++j) {
        if (experts[j] >= 0) slots_of[experts[j]].push_back(t * top_k + j);
      }
    }
    std::vector<std::vector<Bounded>> outputs(tokens.size() * top_k);
    for (const auto& [expert, slots] : slots_of) {
      const LoadedFfn loaded = expanded(weights_.routed_expert(layer_, expert));
      for (const size_t slot : slots) {
        outputs[slot] = oracle_expert(config_.routed_shape(), options_.numbers, loaded.weights,
                                      inputs.subspan(slot / top_k * width, width));
      }
    }
    return outputs;
  }

  const ModelConfig& config_;
  const WeightSource& weights_;
  const BatchPlan& batch_;
  const ExchangePlan& plan_;
  int64_t layer_;
  const OracleOptions& options_;
};

}  // namespace

std::vector<Bounded> oracle_stack(const ModelConfig& config, const WeightSource& weights,
                                  const BatchPlan& plan, const Range& layers,
                                  std::span<const int64_t> tokens, std::span<const float> inputs,
                                  const OracleOptions& options) {
  std::vector<Bounded> x = exact_values(inputs);
  for (int64_t layer = layers.begin; layer < layers.end; ++layer) {
    const OracleLayer oracle(config, weights, plan, layer, options);
    std::vector<Bounded> y = oracle.run(tokens, x);
    for (size_t i = 0; options.residual && i < y.size(); ++i) {
      if (y[i] == Bounded{}) {
        y[i] = x[i];  // nothing is added to padding
      } else {
        y[i] = rounded(sum(x[i], y[i], std::abs(x[i].value + y[i].value)), options.numbers.dtype);
      }
    }
    x = std::move(y);
  }
  return x;
}

int64_t oracle_cost_per_token(const ModelConfig& config) {
  constexpr int64_t kCombine = 32;  // multiply-adds that an element of a row costs beside
  const int64_t matrices = config.activation == Activation::silu ? 3 : 2;
  const int64_t experts = (config.top_k + config.num_shared_experts) * config.hidden_size *
                          (matrices * config.ffn_size + kCombine);
  const int64_t gate = config.gate ? config.num_experts * config.hidden_size : 0;
  return config.num_layers * (experts + gate);
}

OracleDifference compare_with_oracle(std::span<const float> got, std::span<const Bounded> want,
                                     int64_t cols, int64_t layer) {
  OracleDifference worst;
  worst.layer = layer;
  for (size_t begin = 0; begin < want.size(); begin += static_cast<size_t>(cols)) {
    double difference = 0.0;
    double bound = 0.0;
    double norm = 0.0;
    for (size_t i = begin; i < begin + static_cast<size_t>(cols); ++i) {
      const double delta = std::abs(double{got[i]} - want[i].value);
      const double reach = want[i].reach();
      difference += delta * delta;
      bound += reach * reach;
      norm += want[i].value * want[i].value;
      double share = delta == 0.0 ? 0.0 : delta / reach;
      // A bound that is no number would bound nothing.
      if (!std::isfinite(got[i]) || !std::isfinite(reach)) share = HUGE_VAL;
      if (share <= worst.share && i > 0) continue;
      worst.share = share;
      worst.row = static_cast<int64_t>(begin) / cols;
      worst.col = static_cast<int64_t>(i - begin);
      worst.got = got[i];
      worst.want = want[i];
    }
    if (norm == 0.0) continue;
    worst.relative_error = std::max(worst.relative_error, std::sqrt(difference / norm));
    worst.relative_bound = std::max(worst.relative_bound, std::sqrt(bound / norm));
  }
  return worst;
}

OracleDifference compare_with_oracle(const ModelConfig& config, const WeightSource& weights,
                                     const BatchPlan& plan, const LayerStates& states,
                                     const OracleOptions& options) {
  const auto kept = states.states();
  const bool is_by_layer = std::ssize(kept) == config.num_layers + 1;
  OracleDifference worst;
  for (int64_t begin = 0; begin < config.num_layers;) {
    const int64_t end = is_by_layer ? begin + 1 : config.num_layers;
    const auto& input = kept[is_by_layer ? static_cast<size_t>(begin) : 0];
    const auto& got = is_by_layer ? kept[end] : kept.back();
    const auto want =
        oracle_stack(config, weights, plan, {begin, end}, states.tokens(), input, options);
    OracleDifference here = compare_with_oracle(got, want, config.hidden_size, end - 1);
    const double error = std::max(worst.relative_error, here.relative_error);
    const double bound = std::max(worst.relative_bound, here.relative_bound);
    if (begin == 0 || here.share > worst.share) worst = here;
    worst.relative_error = error;
    worst.relative_bound = bound;
    begin = end;
  }
  return worst;
}

std::string OracleDifference::text() const {
  std::ostringstream out;
  out << "layer " << layer << ", element " << col << " is " << got << ", the naive oracle has "
      << want.value << ", and rounding explains " << want.reach();
  return out.str();
}

}  // namespace hashep
