// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/layer/check_cases.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>

#include "comm/exchange/local_transport.hpp"
#include "core/random.hpp"
#include "runtime/layer/layer_stack.hpp"

namespace hashep::test {
namespace {

/// Draws from a seed, one after the other.
class Draws {
 public:
  explicit Draws(uint64_t seed) : seed_(seed) {}
  /// In [0, count).
  int64_t below(int64_t count) {
    return static_cast<int64_t>(random_bits(seed_, next_++) % static_cast<uint64_t>(count));
  }
  bool one_in(int64_t count) { return below(count) == 0; }
  template <typename T>
  T among(std::initializer_list<T> values) {
    return *(values.begin() + below(std::ssize(values)));
  }

 private:
  uint64_t seed_;
  uint64_t next_ = 0;
};

void multiply(Matrix& matrix, float factor) {
  std::vector<float> values = matrix.values();
  for (float& value : values) value *= factor;
  matrix.set(values);
}

BatchPlan plan_of(const ModelConfig& config, int64_t tokens, uint64_t seed) {
  Draws draws(derive_key(seed, 9));
  BatchPlan plan;
  plan.tokens = tokens;
  plan.global_tokens = tokens;
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    std::vector<int32_t> experts;
    for (int64_t token = 0; token < tokens; ++token) {
      const int64_t first = draws.below(config.num_experts);
      for (int64_t j = 0; j < config.top_k; ++j) {
        experts.push_back(token % 9 == 4 ? -1
                                         : static_cast<int32_t>((first + j) % config.num_experts));
      }
    }
    std::vector<CountWord> counts(config.num_experts);
    count_assignments(experts, counts);
    plan.layers.push_back(make_plan(std::move(experts), config.top_k, counts,
                                    contiguous_placement(config.num_experts, 1), 0));
  }
  return plan;
}

std::vector<float> inputs_of(const ModelConfig& config, DType dtype, int64_t tokens,
                             uint64_t seed) {
  return random_matrix(dtype, tokens, config.hidden_size, derive_key(seed, 8)).values();
}

/// How weights are drawn.
struct Weighing {
  DType dtype = DType::f32;
  float scale = 1.0f;
  float gate_scale = 1.0f;
};

void make_layers(CheckedModel& model, const Weighing& weighing, uint64_t seed) {
  const ModelConfig& config = model.config;
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const uint64_t key = derive_key(seed, 100 + static_cast<uint64_t>(layer));
    CheckedLayer made;
    for (int64_t expert = 0; expert < config.num_experts; ++expert) {
      made.experts.push_back(random_expert(config.routed_shape(), weighing.dtype,
                                           derive_key(key, static_cast<uint64_t>(expert)),
                                           weighing.scale));
    }
    if (config.num_shared_experts > 0) {
      made.shared = random_expert(config.shared_shape(), weighing.dtype, derive_key(key, 1000),
                                  weighing.scale);
    }
    const float deviation = weighing.gate_scale / std::sqrt(static_cast<float>(config.hidden_size));
    made.gate = random_matrix(DType::f32, config.num_experts, config.hidden_size,
                              derive_key(key, 1001), deviation);
    model.layers.push_back(std::move(made));
  }
}

/// Every second expert is the one before it, all but cancelled.
void cancel_experts(CheckedModel& model) {
  for (CheckedLayer& layer : model.layers) {
    for (size_t i = 0; i + 1 < layer.experts.size(); i += 2) {
      layer.experts[i + 1] = random_expert(model.config.routed_shape(), DType::f32, 1);
      const ExpertWeights& from = layer.experts[i];
      ExpertWeights& to = layer.experts[i + 1];
      to.w1.set(from.w1.values());
      to.w2.set(from.w2.values());
      to.w3.set(from.w3.values());
      multiply(to.w2, -1.0f);
      multiply(to.w1, 1.0f + 3e-6f);
    }
  }
}

/// All logits of tokens whose first element is 1 become about `logit`.
void shift_logits(CheckedCase& c, float logit) {
  const auto width = static_cast<size_t>(c.model.config.hidden_size);
  for (size_t i = 0; i < c.inputs.size(); i += width) c.inputs[i] = 1.0f;
  for (CheckedLayer& layer : c.model.layers) {
    std::vector<float> gate = layer.gate.values();
    for (size_t i = 0; i < gate.size(); i += width) gate[i] = logit;
    layer.gate.set(gate);
  }
}

}  // namespace

LoadedFfn CheckedModel::routed_expert(int64_t layer, int64_t expert) const {
  const CheckedLayer& from = layers[layer];
  return {from.experts[expert].view(with_biases), {}};
}

LoadedFfn CheckedModel::shared_experts(int64_t layer) const {
  return {layers[layer].shared.view(with_biases), {}};
}

LoadedMatrix CheckedModel::gate(int64_t layer) const {
  return {layers[layer].gate.view(), {}};
}

std::string CheckedCase::name() const {
  const ModelConfig& config = model.config;
  std::ostringstream out;
  out << dtype_name(dtype) << ", " << config.num_layers << " layers, d " << config.hidden_size
      << ", f " << config.ffn_size << ", E " << config.num_experts << ", k " << config.top_k << ", "
      << config.num_shared_experts << " shared, " << activation_name(config.activation)
      << ", limit " << config.swiglu_limit << ", " << score_name(config.score)
      << (model.with_biases ? ", biases" : "") << (residual ? ", residual" : "");
  return out.str();
}

LayerStates CheckedCase::run(const WeightSource& weights, const BatchPlan& with_plan) const {
  const ModelConfig& config = model.config;
  LocalGroup group(1);
  LocalTransport transport(group, 0);
  const std::vector<Placement> placements(config.num_layers,
                                          contiguous_placement(config.num_experts, 1));
  LayerStack stack(config, weights, placements, 0, residual,
                   {.dtype = dtype, .gemm_library = library}, transport);
  Matrix x(dtype, tokens(), config.hidden_size);
  x.set(inputs);
  BatchPlan planned = with_plan;
  stack.prepare(planned);
  PhaseLog log(nullptr, 16, false);
  std::vector<int64_t> all(tokens());
  std::iota(all.begin(), all.end(), 0);
  LayerStates states(std::move(all));
  stack.run(planned, x.view(), log, nullptr, &states);
  return states;
}

OracleDifference CheckedCase::difference(const LayerStates& states) const {
  return compare_with_oracle(model.config, model, plan, states,
                             {.numbers = {dtype}, .residual = residual});
}

CheckedCase random_case(uint64_t seed) {
  Draws draws(derive_key(seed, 7));
  CheckedCase c;
  ModelConfig& config = c.model.config;
  const bool is_large = draws.one_in(10);
  config.num_layers = 1 + draws.below(is_large ? 2 : 5);
  config.hidden_size = is_large ? 256 + draws.below(300) : 1 + draws.below(70);
  config.ffn_size = is_large ? 256 + draws.below(700) : 1 + draws.below(90);
  config.num_experts = 1 + draws.below(is_large ? 4 : 12);
  config.top_k = static_cast<int>(1 + draws.below(std::min<int64_t>(8, config.num_experts)));
  config.num_shared_experts = draws.below(3);
  config.activation = draws.among({Activation::relu, Activation::gelu, Activation::silu});
  config.swiglu_limit = draws.among({0.0f, 0.5f, 10.0f});
  config.score = draws.among({Score::none, Score::sqrtsoftplus});
  config.routed_scaling_factor = draws.among({1.0f, 1.5f, 2.5f});
  config.router = RouterKind::token;
  c.model.with_biases = draws.one_in(3);
  c.dtype = draws.among({DType::f32, DType::bf16});
  c.residual = !draws.one_in(3);
  c.library = draws.among({GemmLibrary::automatic, GemmLibrary::onednn});
  const Weighing weighing{
      draws.among({DType::f32, DType::f16, DType::bf16}),
      // Several layers of large ones would leave fp32's range.
      config.num_layers > 2 ? draws.among({0.01f, 1.0f}) : draws.among({0.01f, 1.0f, 4.0f, 30.0f}),
      draws.among({1.0f, 10.0f, 40.0f})};
  make_layers(c.model, weighing, seed);
  const int64_t tokens = 1 + draws.below(is_large ? 8 : 40);
  c.plan = plan_of(config, tokens, seed);
  c.inputs = inputs_of(config, c.dtype, tokens, seed);
  if (config.score == Score::none && config.top_k == 2 && !c.model.with_biases) {
    cancel_experts(c.model);
  }
  if (draws.one_in(4)) shift_logits(c, -80.0f - static_cast<float>(draws.below(30)));
  return c;
}

CheckedCase even_case(const ModelConfig& config, DType dtype, float weight) {
  CheckedCase c = plain_case(config, dtype, 3, false);
  const auto fill = [](Matrix& matrix, float value) {
    matrix.set(std::vector<float>(matrix.values().size(), value));
  };
  for (CheckedLayer& layer : c.model.layers) {
    layer.experts.push_back(std::move(layer.shared));
    for (ExpertWeights& expert : layer.experts) {
      for (Matrix* matrix : {&expert.w1, &expert.w2, &expert.w3}) fill(*matrix, weight);
    }
    layer.shared = std::move(layer.experts.back());
    layer.experts.pop_back();
    fill(layer.gate, weight);
  }
  std::fill(c.inputs.begin(), c.inputs.end(), 0.75f);
  return c;
}

CheckedCase plain_case(ModelConfig config, DType dtype, int64_t tokens, bool residual) {
  CheckedCase c;
  config.score = Score::sqrtsoftplus;
  c.model.config = config;
  c.dtype = dtype;
  c.residual = residual;
  make_layers(c.model, {}, 1);
  c.plan = plan_of(config, tokens, 1);
  c.inputs = inputs_of(config, dtype, tokens, 1);
  return c;
}

}  // namespace hashep::test
