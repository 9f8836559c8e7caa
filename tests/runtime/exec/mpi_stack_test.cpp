// SPDX-License-Identifier: Apache-2.0
// The same bits over MPI: each rank compares its rows with those of one rank alone, and plans made
// with an exchange with plans made without.
#include <cstring>

#include "comm/transport/mpi_transport.hpp"
#include "runtime/exec/plan_pipeline.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/local_stack.hpp"
#include "tests/support/ranks.hpp"

using namespace hashep;

TEST_CASE("transport mpi gives the bits of one rank alone") {
  test::Ranks ranks;
  for (const test::StackCase& c : test::stack_cases()) {
    INFO(c.name());
    MpiTransport transport(ranks.comm, ranks.watch, c.threads);
    const auto mine = test::run_stack(c, transport, ranks.comm.size(), ranks.comm.rank());
    const auto all = test::run_stack_locally(c, 1);
    const Range rows = split_range(c.batch_tokens, ranks.comm.size(), ranks.comm.rank());
    const auto row_bytes = static_cast<size_t>(c.config.hidden_size * dtype_size(c.dtype));
    CHECK(mine.size() == static_cast<size_t>(rows.size()) * row_bytes);
    CHECK(mine.size() > 0);
    CHECK(std::memcmp(mine.data(), all.data() + static_cast<size_t>(rows.begin) * row_bytes,
                      mine.size()) == 0);
  }
}

TEST_CASE("plans from the exchange equal plans that every rank makes by itself, step by step") {
  test::Ranks ranks;
  for (const test::StackCase& c : test::stack_cases()) {
    INFO(c.name());
    const auto stream = test::stack_stream(c);
    const StackRouting routing = test::stack_routing(c, *stream, ranks.comm.size());
    const BatchSplit split{.batch_tokens = c.batch_tokens,
                           .seq_len = c.seq_len,
                           .ep_size = ranks.comm.size(),
                           .ep_rank = ranks.comm.rank()};
    PhaseLog log(&ranks.watch, 16, false);
    PlanPipeline exchanged(routing, *stream, split, Planning::exchange, &ranks.comm, &ranks.watch);
    PlanPipeline replicated(routing, *stream, split, Planning::replicated, nullptr, nullptr);
    for (int64_t step = 0; step < 3; ++step) {
      const int64_t before = ranks.watch.collectives();
      exchanged.start(step, log);
      const BatchPlan& one = exchanged.finish(log);
      CHECK(ranks.watch.collectives() - before == 1);  // one exchange plans all layers
      replicated.start(step, log);
      const BatchPlan& other = replicated.finish(log);
      CHECK(ranks.watch.collectives() - before == 1);
      CHECK(one.layers == other.layers);
      CHECK(one.batch == other.batch);
      CHECK(one.expert_counts == other.expert_counts);
    }
    CHECK(exchanged.exchanges() == 3);
    CHECK(replicated.exchanges() == 0);
  }
}
