// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/layer_dump.hpp"

#include <span>
#include <vector>

#include "benchmarks/choice_weights.hpp"
#include "core/atomic_file.hpp"
#include "core/safetensors.hpp"
#include "runtime/model/expand_ffn.hpp"
#include "runtime/model/tensor_names.hpp"

namespace hashep::bench {
namespace {

void write(AtomicFile& file, ConstMatrixView matrix) {
  file.write(std::span(matrix.data, static_cast<size_t>(matrix.bytes())));
}

}  // namespace

void dump_layer(const LayerDump& dump, const std::string& folder) {
  const ModelConfig& config = dump.config;
  const ExchangePlan& plan = dump.plan.layers.front();
  const std::vector<FfnMatrix> matrices = ffn_matrices(config.routed_shape());
  std::vector<SafeTensorSpec> specs = {
      {"x", dump.x.dtype, {plan.tokens, config.hidden_size}},
      {"y", dump.y.dtype, {plan.tokens, config.hidden_size}},
      {"token_ids", DType::i32, {plan.tokens}},
      {"experts", DType::i32, {plan.tokens, plan.top_k}},
      {"weights", DType::f32, {plan.tokens, plan.top_k}},
  };
  for (const int32_t expert : plan.local_experts) {
    const std::string ffn = routed_expert_name(0, expert);
    for (const FfnMatrix& matrix : matrices) {
      specs.push_back({weight_name(ffn, matrix.name), dump.x.dtype, {matrix.rows, matrix.cols}});
    }
  }

  std::vector<ConstMatrixView> gradients;
  if (dump.dy.data != nullptr) {
    specs.push_back({"dy", dump.dy.dtype, {plan.tokens, config.hidden_size}});
    specs.push_back({"dx", dump.dx.dtype, {plan.tokens, config.hidden_size}});
    gradients = {dump.dy, dump.dx};
  }
  for (const Parameter& parameter : dump.parameters) {
    const std::string name = weight_name(routed_expert_name(0, parameter.expert), parameter.name);
    specs.push_back({name + ".gradient", DType::f32, {parameter.value.rows, parameter.value.cols}});
    gradients.push_back(parameter.gradient);
  }

  AtomicFile file(folder + "/rank-" + std::to_string(plan.ep_rank) + ".safetensors");
  file.write(
      safetensors_header(specs, {{"activation", std::string(activation_name(config.activation))},
                                 {"ep_rank", std::to_string(plan.ep_rank)},
                                 {"ep_size", std::to_string(plan.ep_size)},
                                 {"num_experts", std::to_string(plan.num_experts)}}));
  write(file, dump.x);
  write(file, dump.y);
  file.write(std::as_bytes(dump.ids));
  file.write(std::as_bytes(std::span(plan.experts)));
  const std::vector<float> weights = choice_weights(config, dump.weights, plan, dump.x);
  file.write(std::as_bytes(std::span(weights)));
  for (const int32_t expert : plan.local_experts) {
    const LoadedFfn loaded = expanded(dump.weights.routed_expert(0, expert));
    for (const ConstMatrixView& matrix :
         {loaded.weights.w1, loaded.weights.w2, loaded.weights.w3}) {
      write(file, matrix);  // w3 is empty where there is none
    }
  }
  for (const ConstMatrixView& gradient : gradients) write(file, gradient);
  file.commit();
}

}  // namespace hashep::bench
