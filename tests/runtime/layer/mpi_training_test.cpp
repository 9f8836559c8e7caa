// SPDX-License-Identifier: Apache-2.0
// Gradients over MPI: the same bits on any number of ranks and by any transport, those of gates and
// shared experts too, which are the oracle's.
#include <optional>

#include "comm/exchange/local_transport.hpp"
#include "runtime/layer/backend_factory.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/ranks.hpp"
#include "tests/support/training_step.hpp"

using namespace hashep;

namespace {

/// The whole batch on this rank by itself.
test::TrainedStep train_alone(const test::StackCase& c, const test::TrainingStep& step = {}) {
  const Communicator self(MPI_COMM_SELF);
  Watch watch(self, 240.0, nullptr);
  LocalGroup group(1);
  LocalTransport transport(group, 0);
  const auto stream = test::stack_stream(c);
  const test::CaseRouting routing = test::stack_routing(c, *stream, {one_node(1)});
  const BatchPlan plan =
      test::training_plan(c, routing, *stream, step.settings.gradient_block, 1, 0);
  return test::train_step(c, routing.geometry, plan, transport, step, &self, &watch);
}

struct Way {
  TransportKind kind;
  const Topology& topology;
};

test::TrainedStep train_together(const test::StackCase& c, const Way& way, test::Ranks& ranks,
                                 const test::TrainingStep& step = {}) {
  const auto stream = test::stack_stream(c);
  const test::CaseRouting routing = test::stack_routing(c, *stream, {way.topology.nodes});
  const BatchPlan plan = test::training_plan(c, routing, *stream, step.settings.gradient_block,
                                             ranks.comm.size(), ranks.comm.rank());
  const auto transport = make_transport(way.kind, ranks.comm, way.topology, ranks.watch, c.threads);
  return test::train_step(c, routing.geometry, plan, *transport, step, &ranks.comm, &ranks.watch);
}

/// A rank's rows of all, which begin at its first token.
std::vector<std::byte> part_of(const std::vector<std::byte>& all, const test::StackCase& c,
                               const test::Ranks& ranks, int64_t gradient_block) {
  const auto stream = test::stack_stream(c);
  const test::CaseRouting routing = test::stack_routing(c, *stream, {one_node(ranks.comm.size())});
  const BatchPlan plan = test::training_plan(c, routing, *stream, gradient_block, ranks.comm.size(),
                                             ranks.comm.rank());
  const int64_t row_bytes = c.config.hidden_size * dtype_size(c.dtype);
  const auto begin = all.begin() + plan.first_token * row_bytes;
  return {begin, begin + plan.tokens * row_bytes};
}

/// Cases with gates and shared experts among them, not too many.
std::vector<test::StackCase> some_cases() {
  std::vector<test::StackCase> some;
  const std::vector<test::StackCase> all = test::stack_cases();
  for (size_t i = 0; i < all.size(); i += 3) some.push_back(all[i]);
  return some;
}

}  // namespace

TEST_CASE("every transport gives the gradients of one rank alone, bit by bit") {
  test::Ranks ranks;
  const Topology found = find_topology(ranks.comm, ranks.watch);
  std::vector<Way> ways{{TransportKind::mpi, found}, {TransportKind::hier, found}};
  std::optional<Topology> pairs;
  if (found.nodes.num_nodes() == 1) {
    ways.push_back({TransportKind::shm, found});
    pairs.emplace(topology_by_label(ranks.comm, ranks.watch, ranks.comm.rank() / 2));
    ways.push_back({TransportKind::hier, *pairs});
  }
  for (const test::StackCase& c : some_cases()) {
    const test::TrainedStep alone = train_alone(c);
    const int64_t block = test::TrainingStep{}.settings.gradient_block;
    const auto dx = part_of(alone.dx, c, ranks, block);
    for (const Way& way : ways) {
      INFO(transport_name(way.kind) << " on " << way.topology.nodes << ", " << c.name());
      const test::TrainedStep got = train_together(c, way, ranks);
      CHECK((got.dx == dx));
      CHECK(!got.gradients.empty());
      for (const auto& [key, gradient] : got.gradients) {
        INFO(key);
        CHECK((gradient == alone.gradients.at(key)));
      }
    }
  }
}

TEST_CASE("gradients of gates and shared experts are the oracle's") {
  for (const test::StackCase& c : some_cases()) {
    if (c.dtype != DType::f32) continue;
    INFO(c.name());
    const test::TrainedStep got = train_alone(c);
    const OracleStack oracle = test::oracle_of(c);
    const auto stream = test::stack_stream(c);
    const test::CaseRouting routing = test::stack_routing(c, *stream, {one_node(1)});
    const BatchPlan plan = test::training_plan(c, routing, *stream, c.batch_tokens, 1, 0);
    std::vector<std::vector<int32_t>> experts;
    for (const ExchangePlan& layer : plan.layers) experts.push_back(layer.experts);
    const auto doubles = [&](const std::vector<std::byte>& bytes) {
      const auto* const first = reinterpret_cast<const float*>(bytes.data());
      return Doubles(first, first + bytes.size() / sizeof(float));
    };
    OracleStack gradients = oracle.zeros();
    const Range all{0, c.batch_tokens};
    oracle.backward(experts, doubles(test::stack_rows(c, all)),
                    doubles(test::output_gradients(c, all)), gradients);
    for (size_t l = 0; l < gradients.layers.size(); ++l) {
      const std::string key = "layer " + std::to_string(l) + ", expert -1, ";
      INFO(key);
      const OracleLayer& of = gradients.layers[l];
      if (!of.gate.empty()) CHECK(distance(got.gradients.at(key + "gate"), of.gate) < 1e-5);
      if (of.shared.w1.empty()) continue;
      CHECK(distance(got.gradients.at(key + "w1"), of.shared.w1) < 1e-5);
      CHECK(distance(got.gradients.at(key + "w2"), of.shared.w2) < 1e-5);
      if (of.shared.w3.empty()) continue;
      CHECK(distance(got.gradients.at(key + "w3"), of.shared.w3) < 1e-5);
    }
  }
}

TEST_CASE("recomputing changes no bit of what all ranks hold; two batches add up") {
  test::Ranks ranks;
  const Topology topology = find_topology(ranks.comm, ranks.watch);
  const Way way{TransportKind::hier, topology};
  test::StackCase c = test::stack_cases()[12];
  c.config.num_shared_experts = 1;
  const test::TrainedStep once = train_together(c, way, ranks);
  test::TrainingStep step;
  step.settings.recompute = true;
  CHECK((train_together(c, way, ranks, step).gradients == once.gradients));
  step.batches = 2;
  const test::TrainedStep twice = train_together(c, way, ranks, step);
  const test::TrainedStep alone = train_alone(c, step);
  for (const auto& [key, gradient] : twice.gradients) {
    INFO(key);
    CHECK((gradient == alone.gradients.at(key)));
    const std::vector<float>& single = once.gradients.at(key);
    Doubles doubled(single.begin(), single.end());
    for (double& value : doubled) value *= 2.0;
    CHECK(distance(gradient, doubled) < 1e-6);
  }
}
