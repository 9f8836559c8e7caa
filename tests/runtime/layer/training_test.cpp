// SPDX-License-Identifier: Apache-2.0
// Backward of stacks whose ranks are threads of this process (transport local): against the oracle,
// and the same bits on any number of ranks. What all ranks hold is summed over MPI: in
// mpi_training_test.
#include <algorithm>
#include <thread>

#include "comm/exchange/local_transport.hpp"
#include "runtime/layer/training_memory.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/training_step.hpp"

using namespace hashep;

namespace {

/// What a tape of a plan takes, by the table in docs/training.md.
int64_t expected_tape_bytes(const test::StackCase& c, const BatchPlan& plan, bool recompute) {
  const int64_t element = c.dtype == DType::f32 ? 4 : 2;
  const int64_t z_of_f = recompute ? 0 : c.config.activation == Activation::silu ? 2 : 1;
  const int64_t shared_f = c.config.num_shared_experts * c.config.ffn_size;
  int64_t bytes = 0;
  for (const ExchangePlan& layer : plan.layers) {
    bytes +=
        layer.recv_displs.back() * (c.config.hidden_size + z_of_f * c.config.ffn_size) * element;
    bytes += plan.tokens * z_of_f * shared_f * element;
    const bool has_gate = c.config.score != Score::none;
    if (has_gate || shared_f > 0) bytes += plan.tokens * c.config.hidden_size * element;
    if (has_gate) bytes += plan.tokens * c.config.top_k * 4;
  }
  return bytes;
}

/// All ranks' parts of a step, one after the other; gradients of all experts.
test::TrainedStep train_locally(const test::StackCase& c, int ep_size,
                                const test::TrainingStep& step = {}) {
  LocalGroup group(ep_size);
  std::vector<test::TrainedStep> parts(ep_size);
  std::vector<int64_t> expected_bytes(ep_size);
  std::vector<std::jthread> ranks;
  for (int rank = 0; rank < ep_size; ++rank) {
    ranks.emplace_back([&, rank] {
      const auto stream = test::stack_stream(c);
      const test::CaseRouting routing = test::stack_routing(c, *stream, {one_node(ep_size)});
      const BatchPlan plan =
          test::training_plan(c, routing, *stream, step.settings.gradient_block, ep_size, rank);
      LocalTransport transport(group, rank);
      parts[rank] = test::train_step(c, routing.geometry, plan, transport, step, nullptr, nullptr);
      expected_bytes[rank] = expected_tape_bytes(c, plan, step.settings.recompute);
    });
  }
  ranks.clear();  // joins
  const auto stream = test::stack_stream(c);
  const test::CaseRouting routing = test::stack_routing(c, *stream, {one_node(ep_size)});
  int64_t most_parameters = 0;
  test::TrainedStep all;
  for (int rank = 0; rank < ep_size; ++rank) {
    const test::TrainedStep& part = parts[rank];
    all.y.insert(all.y.end(), part.y.begin(), part.y.end());
    all.dx.insert(all.dx.end(), part.dx.begin(), part.dx.end());
    for (const auto& [key, gradient] : part.gradients) {
      if (key.find("expert -1") == std::string::npos) all.gradients[key] = gradient;
    }
    most_parameters = std::max(most_parameters, part.parameter_bytes);
    CHECK(part.tape_bytes == part.announced_tape_bytes);
    CHECK(part.tape_bytes == expected_bytes[rank]);
  }
  CHECK(most_parameters ==
        training_memory(c.config, routing.geometry.placements(), c.dtype).parameters);
  return all;
}

std::vector<float> floats_of(const std::vector<std::byte>& bytes, DType dtype) {
  std::vector<float> values(bytes.size() / static_cast<size_t>(dtype_size(dtype)));
  convert_to_float(dtype, bytes.data(), std::ssize(values), values.data());
  return values;
}

}  // namespace

TEST_CASE("gradients of routed experts and inputs are the oracle's: 1e-5 in fp32, 2e-2 in bf16") {
  for (const test::StackCase& c : test::stack_cases()) {
    INFO(c.name());
    // Where a function has a kink, what bf16 rounds off takes some pre-activations of later layers
    // across it, which then have another slope: of an expert with few rows that may be most of its
    // gradient. kernels_training_test has one FFN by itself.
    const bool crosses_kinks = c.dtype == DType::bf16 && (c.config.activation == Activation::relu ||
                                                          c.config.swiglu_limit > 0.0f);
    const double most = c.dtype == DType::f32 ? 1e-5 : crosses_kinks ? 0.1 : 2e-2;
    const test::TrainedStep got = train_locally(c, 3);
    const auto stream = test::stack_stream(c);
    const test::CaseRouting routing = test::stack_routing(c, *stream, {one_node(1)});
    const BatchPlan plan = test::training_plan(c, routing, *stream, c.batch_tokens, 1, 0);
    std::vector<std::vector<int32_t>> experts;
    for (const ExchangePlan& layer : plan.layers) experts.push_back(layer.experts);
    const Range all{0, c.batch_tokens};
    const auto doubles = [&](const std::vector<std::byte>& bytes) {
      const std::vector<float> values = floats_of(bytes, c.dtype);
      return Doubles(values.begin(), values.end());
    };
    const OracleStack oracle = test::oracle_of(c);
    OracleStack gradients = oracle.zeros();
    const Doubles dx = oracle.backward(experts, doubles(test::stack_rows(c, all)),
                                       doubles(test::output_gradients(c, all)), gradients);
    CHECK(distance(floats_of(got.dx, c.dtype), dx) < most);
    std::vector<float> got_all;
    Doubles want_all;
    for (size_t l = 0; l < gradients.layers.size(); ++l) {
      for (size_t e = 0; e < gradients.layers[l].experts.size(); ++e) {
        const std::string key =
            "layer " + std::to_string(l) + ", expert " + std::to_string(e) + ", ";
        INFO(key);
        const OracleFfn& of = gradients.layers[l].experts[e];
        const auto compare = [&](const char* name, const Doubles& want) {
          if (want.empty()) return;
          const std::vector<float>& values = got.gradients.at(key + name);
          if (!crosses_kinks) CHECK(distance(values, want) < most);
          got_all.insert(got_all.end(), values.begin(), values.end());
          want_all.insert(want_all.end(), want.begin(), want.end());
        };
        compare("w1", of.w1);
        compare("w2", of.w2);
        compare("w3", of.w3);
      }
    }
    CHECK(distance(got_all, want_all) < most);
  }
}

TEST_CASE("1 to 7 ranks give the same gradients, bit by bit, and the outputs of forward alone") {
  for (const test::StackCase& c : test::stack_cases()) {
    INFO(c.name());
    const test::TrainedStep alone = train_locally(c, 1);
    for (const int ep_size : {2, 3, 4, 5, 7}) {
      INFO(ep_size << " ranks");
      const test::TrainedStep parts = train_locally(c, ep_size);
      CHECK((parts.y == alone.y));
      CHECK((parts.dx == alone.dx));
      CHECK((parts.gradients == alone.gradients));
    }
  }
}

TEST_CASE("placement, threads and recomputing change no bit of gradients") {
  test::StackCase c = test::stack_cases().back();
  const test::TrainedStep first = train_locally(c, 3);
  c.placement =
      c.placement == PlacementKind::balanced ? PlacementKind::contiguous : PlacementKind::balanced;
  CHECK((train_locally(c, 3).gradients == first.gradients));
  c.threads = 3;
  CHECK((train_locally(c, 2).gradients == first.gradients));
  test::TrainingStep step;
  step.settings.recompute = true;
  const test::TrainedStep again = train_locally(c, 2, step);
  CHECK((again.gradients == first.gradients));
  CHECK((again.dx == first.dx));
}
