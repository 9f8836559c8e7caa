// SPDX-License-Identifier: Apache-2.0
// Promise 4 of the design: a quiet step loop.
#include "tests/support/allocation_count.hpp"

#include <malloc.h>

#include "tests/support/catch.hpp"
#include "tests/support/step_loop.hpp"

using namespace hashep;

namespace {

struct Counts {
  int64_t in_steps = 0;      // inside LayerStack::run
  int64_t around_steps = 0;  // routing, planning exchange, plans, prepare
  int64_t heap_growth = 0;   // bytes, of the whole process
};

size_t heap_bytes() {
  return mallinfo2().uordblks + mallinfo2().hblkhd;
}

/// Runs steps of a case over MPI and counts after the first few.
Counts count_allocations(const test::StackCase& c, const TokenStream& stream,
                         const std::string& transport) {
  constexpr int64_t kWarmup = 3;  // two plan buffers and one more
  constexpr int64_t kSteps = 12;
  const Communicator comm(MPI_COMM_WORLD);
  Watch watch(comm, 120.0, nullptr);
  const Topology topology = topology_by_label(comm, watch, comm.rank() / 2);
  Counts counts;
  int64_t begin = 0;
  int64_t before = 0;
  size_t heap = 0;
  test::StepLooks looks;
  looks.before_planning = [&](int64_t step) {
    if (step != kWarmup) return;
    counts = {};
    begin = test::allocation_count();
    heap = heap_bytes();
  };
  looks.before_run = [&](int64_t) { before = test::allocation_count(); };
  looks.after_run = [&](int64_t step) {
    counts.in_steps += test::allocation_count() - before;
    if (step != kSteps - 1) return;
    counts.around_steps = test::allocation_count() - begin - counts.in_steps;
    counts.heap_growth = static_cast<int64_t>(heap_bytes()) - static_cast<int64_t>(heap);
  };
  test::run_step_loop(c, stream, {.transport = transport}, comm, topology, watch, kSteps, looks);
  return counts;
}

std::vector<std::string> transports() {
  const Communicator comm(MPI_COMM_WORLD);
  if (comm.size() <= 2) return {"mpi", "hier", "shm"};
  return {"mpi", "hier"};
}

}  // namespace

TEST_CASE("counting works") {
  const int64_t before = test::allocation_count();
  const Buffer buffer(100);
  const Buffer mapped(int64_t{4} << 20);
  const std::vector<int> values(10);
  CHECK(test::allocation_count() - before == 3);
}

TEST_CASE("after the first steps of a size the step loop allocates nothing, planning included") {
  const int64_t ranks = Communicator(MPI_COMM_WORLD).size();
  for (test::StackCase c : test::stack_cases()) {
    for (const std::string& transport : transports()) {
      c.threads = 1;
      INFO(transport << ", " << c.name());
      c.seq_len = c.batch_tokens;  // so that positions repeat too
      const auto stream = test::repeating_stream(c.config.vocab_size, c.batch_tokens);
      const Counts counts = count_allocations(c, *stream, transport);
      CHECK(counts.in_steps == 0);
      CHECK(counts.around_steps == 0);
      CHECK(counts.heap_growth < 65536 * ranks);  // MPI's own pools, which grow with peers
    }
  }
}

TEST_CASE("planning's buffers are said to be as large as what is allocated for them") {
  const Communicator comm(MPI_COMM_WORLD);
  Watch watch(comm, 120.0, nullptr);
  test::StackCase c = test::stack_cases().front();
  c.config.router = RouterKind::token;
  c.config.num_experts = 4096;  // counts beside which all else is small
  const auto stream = test::stack_stream(c);
  const NodeMap nodes = nodes_of_equal_size(comm.size(), 2);
  const StackRouting routing = test::stack_routing(c, *stream, {nodes});
  for (const Planning planning : {Planning::exchange, Planning::replicated}) {
    for (const int depth : {0, 2}) {
      INFO("replicated " << (planning == Planning::replicated) << ", depth " << depth);
      const PlanningOptions options{planning, depth};
      const int64_t said = planning_buffer_bytes(routing.count_words(), comm.size(), options);
      const int64_t before = test::allocated_bytes();
      const PlanPipeline pipeline(
          routing, *stream,
          {.batch_tokens = c.batch_tokens, .ep_size = comm.size(), .ep_rank = comm.rank()}, options,
          &comm, &watch);
      const int64_t allocated = test::allocated_bytes() - before;
      CHECK(allocated >= said);
      CHECK(allocated <= said + pipeline.slots() * 2048);  // what they stand in
      CHECK(said >= pipeline.slots() * comm.size() * c.config.num_experts * 4);
    }
  }
}

TEST_CASE("with other tokens in every batch the step itself still allocates nothing") {
  for (const test::StackCase& c : test::stack_cases()) {
    for (const std::string& transport : transports()) {
      INFO(transport << ", " << c.name());
      const auto stream = test::stack_stream(c);
      const Counts counts = count_allocations(c, *stream, transport);
      CHECK(counts.in_steps == 0);
    }
  }
}
