// SPDX-License-Identifier: Apache-2.0
#include "tests/support/training_step.hpp"

#include <algorithm>

#include "core/random.hpp"
#include "runtime/model/synthetic_weights.hpp"

namespace hashep::test {
namespace {

std::string key_of(const Parameter& parameter) {
  return "layer " + std::to_string(parameter.layer) + ", expert " +
         std::to_string(parameter.expert) + ", " + parameter.name;
}

}  // namespace

OracleStack oracle_of(const StackCase& c) {
  const auto weights = make_synthetic_weights(c.config, c.dtype, kStackSeed);
  OracleStack oracle{c.config.shape(), c.residual, {}};
  for (int64_t l = 0; l < c.config.num_layers; ++l) {
    OracleLayer layer;
    for (int64_t e = 0; e < c.config.num_experts; ++e) {
      layer.experts.emplace_back(weights->routed_expert(l, e).weights, c.dtype);
    }
    if (c.config.num_shared_experts > 0) {
      layer.shared = OracleFfn(weights->shared_experts(l).weights, c.dtype);
    }
    if (c.config.score != Score::none) layer.gate = doubles_of(weights->gate(l).view);
    oracle.layers.push_back(std::move(layer));
  }
  return oracle;
}

std::vector<std::byte> output_gradients(const StackCase& c, const Range& rows) {
  std::vector<float> values(rows.size() * c.config.hidden_size);
  fill_normal(kStackSeed + 1, rows.begin * c.config.hidden_size, values);
  std::vector<std::byte> bytes(values.size() * static_cast<size_t>(dtype_size(c.dtype)));
  convert_from_float(values.data(), static_cast<int64_t>(values.size()), c.dtype, bytes.data());
  return bytes;
}

BatchPlan training_plan(const StackCase& c, const CaseRouting& routing, const TokenStream& stream,
                        int64_t gradient_block, int ep_size, int ep_rank) {
  StreamBatch whole;
  read_batch(stream, {.batch_tokens = c.batch_tokens, .seq_len = c.seq_len}, 0, whole);
  const int64_t blocks = (c.batch_tokens + gradient_block - 1) / gradient_block;
  std::vector<int64_t> tokens;
  for (int rank = 0; rank < ep_size; ++rank) {
    const Range part = split_range(blocks, ep_size, rank);
    tokens.push_back(std::min(part.end * gradient_block, c.batch_tokens) -
                     std::min(part.begin * gradient_block, c.batch_tokens));
  }
  return plan_batch(routing.geometry, *routing.router, cut_batch(whole, tokens), ep_rank);
}

TrainedStep train_step(const StackCase& c, const StackGeometry& geometry, BatchPlan plan,
                       Transport& transport, const TrainingStep& step, const Communicator* comm,
                       Watch* watch) {
  const auto weights = make_synthetic_weights(c.config, c.dtype, kStackSeed);
  const int ep_rank = plan.layers.front().ep_rank;
  LayerStack stack(c.config, *weights, geometry.placements(), ep_rank, c.residual,
                   {.dtype = c.dtype, .threads = c.threads, .training = step.settings}, transport);
  PhaseLog log(watch, 16, false);
  StackTape tape;
  stack.prepare(plan);
  stack.prepare_tape(plan, tape);
  stack.clear_gradients();
  const Range rows{plan.first_token, plan.first_token + plan.tokens};
  TrainedStep result;
  result.announced_tape_bytes = stack.tape_bytes(plan);
  result.tape_bytes = tape.bytes();
  for (int batch = 0; batch < step.batches; ++batch) {
    result.y = stack_rows(c, rows);
    result.dx = output_gradients(c, rows);
    step.before(batch);
    stack.run(plan, {result.y.data(), c.dtype, plan.tokens, c.config.hidden_size}, log, &tape);
    stack.backward(plan, {result.dx.data(), c.dtype, plan.tokens, c.config.hidden_size}, tape, log);
    step.after(batch);
  }
  if (comm != nullptr) stack.sum_gradients(*comm, *watch);
  for (const Parameter& parameter : stack.parameters()) {
    result.parameter_bytes += parameter.value.bytes();
    const auto* const first = parameter.gradient.row_as<float>(0);
    result.gradients[key_of(parameter)] = {
        first, first + parameter.gradient.rows * parameter.gradient.cols};
  }
  return result;
}

}  // namespace hashep::test
