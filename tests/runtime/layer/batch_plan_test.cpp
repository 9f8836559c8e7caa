// SPDX-License-Identifier: Apache-2.0
#include "hashep/batch_plan.hpp"

#include "hashep/error.hpp"
#include "hashep/hash_router.hpp"
#include "runtime/layer/phase_log.hpp"
#include "runtime/layer/stream_planner.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/local_stack.hpp"

using namespace hashep;

TEST_CASE("plans are a pure function of (ids by rank, placement, rank)") {
  const test::StackCase c = test::stack_cases().back();
  const int ep_size = 4;
  const auto stream = test::stack_stream(c);
  const test::CaseRouting routing = test::stack_routing(c, *stream, {one_node(ep_size)});
  std::vector<StreamBatch> batches(ep_size);
  std::vector<TokenBatch> views;
  for (int rank = 0; rank < ep_size; ++rank) {
    read_batch(
        *stream,
        {.batch_tokens = c.batch_tokens, .seq_len = c.seq_len, .ep_size = ep_size, .ep_rank = rank},
        0, batches[rank]);
    views.push_back(batches[rank].view());
  }
  PhaseLog log(nullptr, 4, false);
  for (int rank = 0; rank < ep_size; ++rank) {
    const auto plans = plan_batch(routing.geometry, *routing.router, views, rank).layers;
    REQUIRE(plans.size() == 2);
    CHECK(plans[0].total_recv() > 0);
    StreamPlanner planner(
        routing.geometry, *routing.router, *stream,
        {.batch_tokens = c.batch_tokens, .seq_len = c.seq_len, .ep_size = ep_size, .ep_rank = rank},
        {.planning = Planning::replicated}, std::nullopt, log);
    planner.begin();
    CHECK(planner.take().layers == plans);
  }
}

TEST_CASE("an id out of range ends planning with its place in the stream") {
  test::StackCase c = test::stack_cases().front();
  const auto stream = test::stack_stream(c);
  c.config.vocab_size = 2;  // the stream draws from 300
  const test::CaseRouting routing = test::stack_routing(c, *stream, {one_node(1)});
  PhaseLog log(nullptr, 4, false);
  StreamPlanner planner(routing.geometry, *routing.router, *stream,
                        {.batch_tokens = 50, .seq_len = 17}, {.planning = Planning::replicated},
                        std::nullopt, log);
  planner.begin();
  CHECK_THROWS_WITH(planner.take(), ContainsSubstring("outside [0, 2)"));
}

TEST_CASE("a phase log keeps the newest samples and the events of a trace") {
  PhaseLog log(nullptr, 4, true);
  for (int64_t step = 0; step < 6; ++step) {
    log.set_step(step);
    const PhaseLog::Scope scope(log, Phase::experts, 1);
  }
  CHECK(log.samples(Phase::experts).size() == 4);
  CHECK(log.samples(Phase::dispatch).empty());
  REQUIRE(log.events().size() == 6);
  CHECK(log.events()[5].position == Position{Phase::experts, 5, 1});
  CHECK(log.events()[5].end_ns >= log.events()[5].begin_ns);
  CHECK(to_string(log.events()[5].position) == "experts, layer 1, step 5");
}
