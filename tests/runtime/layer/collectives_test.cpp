// SPDX-License-Identifier: Apache-2.0
// Promise 2 of the design: one small planning exchange per batch, and none inside a layer.
#include <array>

#include "tests/support/catch.hpp"
#include "tests/support/collective_count.hpp"
#include "tests/support/step_loop.hpp"

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
