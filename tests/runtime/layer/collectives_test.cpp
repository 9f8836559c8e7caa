// SPDX-License-Identifier: Apache-2.0
// Promise 2 of the design: one small planning exchange per batch, and none inside a layer.
#include <array>

#include "runtime/layer/backend_factory.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/collective_count.hpp"
#include "tests/support/ranks.hpp"
#include "tests/support/step_loop.hpp"
#include "tests/support/training_step.hpp"

using namespace hashep;

namespace {

using Counts = std::map<std::string, int64_t>;

Counts operator-(Counts left, const Counts& right) {
  for (const auto& [name, count] : right) left[name] -= count;
  std::erase_if(left, [](const auto& entry) { return entry.second == 0; });
  return left;
}

/// What each step began, inside its run and around it.
struct StepCounts {
  Counts inside;
  Counts around;
};

constexpr int kRanksOfNode = 2;  // made up for hier, so that rows cross between nodes

/// What planning a batch begins on this rank: on one node nothing. Where a node of one rank meets
/// nodes of two, its rank takes in what both of theirs send.
Counts planning_exchange(TransportKind transport) {
  const Communicator comm(MPI_COMM_WORLD);
  if (transport != TransportKind::hier || comm.size() <= kRanksOfNode) return {};
  const bool is_alone = comm.size() % kRanksOfNode == 1 && comm.rank() == comm.size() - 1;
  return {{"MPI_Iallgatherv", is_alone ? kRanksOfNode : 1}};
}

std::vector<StepCounts> count_steps(const test::StackCase& c, const test::LoopSettings& settings,
                                    int64_t steps) {
  const Communicator comm(MPI_COMM_WORLD);
  Watch watch(comm, 120.0, nullptr);
  const Topology topology = topology_by_label(
      comm, watch, settings.transport == TransportKind::hier ? comm.rank() / kRanksOfNode : 0);
  const auto stream = test::repeating_stream(c.config.vocab_size, c.batch_tokens);
  std::vector<StepCounts> counts(steps);
  Counts at_planning;
  Counts at_run;
  test::StepLooks looks;
  looks.before_planning = [&](int64_t) { at_planning = test::collective_counts(); };
  looks.before_run = [&](int64_t) { at_run = test::collective_counts(); };
  looks.after_run = [&](int64_t step) {
    StepCounts& of_step = counts[step];
    of_step.inside = test::collective_counts() - at_run;
    of_step.around = at_run - at_planning;
  };
  test::run_step_loop(c, *stream, settings, comm, topology, watch, steps, looks);
  return counts;
}

}  // namespace

TEST_CASE("a step begins no collective but those that move its rows, and planning one a batch") {
  constexpr int64_t kSteps = 8;
  int64_t moving_steps = 0;
  const std::vector<test::StackCase> cases = test::stack_cases();
  for (const auto transport : {TransportKind::mpi, TransportKind::shm, TransportKind::hier}) {
    // Every seventh case, which is one of every router and of both placements, each with one depth.
    for (size_t i = 0; i < cases.size(); i += 7) {
      test::StackCase c = cases[i];
      const int depth = std::array{0, 1, 3}[i / 7 % 3];
      c.seq_len = c.batch_tokens;  // equal batches: no buffer grows after the first
      INFO(transport_name(transport) << ", depth " << depth << ", " << c.name());
      const auto counts = count_steps(c, {.transport = transport, .plan_depth = depth}, kSteps);
      for (int64_t step = 0; step < kSteps; ++step) {
        const StepCounts& of_step = counts[step];
        if (transport == TransportKind::mpi) {
          CHECK(of_step.inside == Counts{{"MPI_Ialltoallv", 2 * c.config.num_layers}});
          moving_steps += 1;
        } else {
          CHECK(of_step.inside.empty());
        }
        if (step == 0) continue;
        // Batches are planned ahead until there are none left to plan.
        const bool plans = depth == 0 || step + depth < kSteps;
        CHECK(of_step.around == (plans ? planning_exchange(transport) : Counts{}));
      }
    }
  }
  CHECK(moving_steps > 0);
}

TEST_CASE("the profiling interface counts") {
  const Communicator comm(MPI_COMM_WORLD);
  const Counts before = test::collective_counts();
  Watch watch(comm, 120.0, nullptr);
  watch.barrier();
  CHECK(test::collective_counts() - before == Counts{{"MPI_Comm_dup", 1}, {"MPI_Ibarrier", 1}});
}

TEST_CASE("backward plans nothing again, and begins no collective but those that move rows") {
  test::Ranks ranks;
  const std::vector<test::StackCase> cases = test::stack_cases();
  for (const auto kind : {TransportKind::mpi, TransportKind::shm, TransportKind::hier}) {
    const Topology topology =
        topology_by_label(ranks.comm, ranks.watch,
                          kind == TransportKind::hier ? ranks.comm.rank() / kRanksOfNode : 0);
    for (size_t i = 0; i < cases.size(); i += 7) {
      const test::StackCase& c = cases[i];
      INFO(transport_name(kind) << ", " << c.name());
      const auto stream = test::stack_stream(c);
      const test::CaseRouting routing = test::stack_routing(c, *stream, {topology.nodes});
      Counts begin;
      Counts inside;
      test::TrainingStep step;
      step.batches = 2;
      step.before = [&](int) { begin = test::collective_counts(); };
      step.after = [&](int) { inside = test::collective_counts() - begin; };
      const BatchPlan plan = test::training_plan(c, routing, *stream, step.settings.gradient_block,
                                                 ranks.comm.size(), ranks.comm.rank());
      const auto transport = make_transport(kind, ranks.comm, topology, ranks.watch, 1);
      test::train_step(c, routing.geometry, plan, *transport, step, &ranks.comm, &ranks.watch);
      // Rows go and return, twice; with a gate weights go, and their gradients return.
      const int64_t of_rows = kind == TransportKind::mpi ? 4 * c.config.num_layers : 0;
      const int64_t of_weights = c.config.score == Score::none ? 0 : 2 * c.config.num_layers;
      Counts expected;
      if (of_rows + of_weights > 0) expected["MPI_Ialltoallv"] = of_rows + of_weights;
      CHECK(inside == expected);
    }
  }
}
