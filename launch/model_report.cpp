// SPDX-License-Identifier: Apache-2.0
#include "launch/model_report.hpp"

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "core/quote.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

/// A float as people write it: 1.5, 10.
std::string text_of(float value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

std::string score_text(const ModelConfig& config) {
  const bool is_softmax = config.gate && config.gate->kind == GateKind::softmax_top_k;
  if (is_softmax) return config.top_k == 1 ? "its probability" : "probabilities, normalised";
  if (config.num_experts == 0) return "none, no routed experts";
  if (config.score == Score::none) {
    return "1/" + std::to_string(config.top_k) + " each, gate.weight not asked";
  }
  return std::string(score_name(config.score)) + " of gate.weight, normalised, times " +
         text_of(config.routed_scaling_factor);
}

std::string expert_text(const ModelConfig& config) {
  std::string text(activation_name(config.activation));
  if (config.activation == Activation::silu) {
    text += config.swiglu_limit > 0.0f
                ? " (SwiGLU) clamped at " + text_of(config.swiglu_limit) + ", shared ones too"
                : " (SwiGLU), no clamp";
  }
  const int64_t shared = config.num_shared_experts;
  return text + "; " +
         (shared == 0 ? "no shared experts" : std::to_string(shared) + " shared, added unweighted");
}

std::string layers_text(const ModelReport& report) {
  return report.config.gate ? "layers" : "hash-routed layers";
}

std::string list_text(const std::vector<std::string>& names, size_t most) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < most; ++i) {
    text += (i > 0 ? ", " : "") + quote(names[i]);
  }
  if (names.size() > most) text += " and " + std::to_string(names.size() - most) + " more";
  return text;
}

}  // namespace

void require_all_used(const ModelReport& report, bool accept_unused) {
  if (report.unused.empty() || accept_unused) return;
  throw InputError(report.folder + ": config.json leaves tensors of the " + layers_text(report) +
                   " unused: " + list_text(report.unused, 2) +
                   "; --accept-unused runs without them");
}

std::string model_lines(const ModelReport& report) {
  if (report.folder.empty()) return "";
  constexpr size_t kMostNames = 4;
  std::string text = "config.json: weights of choices " + score_text(report.config) + "; experts " +
                     expert_text(report.config) + "; routing by " + report.routing + "\n";
  text += "weights: " + report.weights +
          (report.weight_form.empty() ? "" : ", " + report.weight_form + " in memory") + "\n";
  if (!report.ignored.empty()) {
    text += "config.json: no effect on weights that are not quantised: " +
            list_text(report.ignored, kMostNames) + "\n";
  }
  return text + "not used of the " + layers_text(report) + ": " +
         (report.unused.empty() ? "no tensor" : list_text(report.unused, kMostNames)) + "\n";
}

nlohmann::ordered_json model_json(const ModelReport& report) {
  const ModelConfig& config = report.config;
  nlohmann::ordered_json model;
  model["folder"] = nullptr;
  if (!report.folder.empty()) model["folder"] = report.folder;
  model["num_layers"] = config.num_layers;
  model["num_hash_layers"] = config.shape().num_routed_layers();
  model["hidden_size"] = config.hidden_size;
  model["moe_intermediate_size"] = config.ffn_size;
  model["n_routed_experts"] = config.num_experts;
  model["n_shared_experts"] = config.num_shared_experts;
  model["num_experts_per_tok"] = config.top_k;
  model["vocab_size"] = config.vocab_size;
  model["scoring_func"] = score_name(config.score);
  model["norm_topk_prob"] = true;
  model["routed_scaling_factor"] = config.routed_scaling_factor;
  model["hidden_act"] = activation_name(config.activation);
  model["swiglu_limit"] = config.swiglu_limit;
  model["routing"] = report.routing;
  model["weights"] = nullptr;
  if (!report.weights.empty()) model["weights"] = report.weights;
  model["weight_form"] = nullptr;
  if (!report.weight_form.empty()) model["weight_form"] = report.weight_form;
  model["unused_tensors"] = report.unused;
  model["ignored_keys"] = report.ignored;
  return model;
}

}  // namespace hashep
