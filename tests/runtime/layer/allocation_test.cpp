// SPDX-License-Identifier: Apache-2.0
// Promise 4 of the design: a quiet step loop.
#include "tests/support/allocation_count.hpp"

#include <malloc.h>

#include <functional>

#include "hashep/hash_router.hpp"
#include "runtime/layer/backend_factory.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/ranks.hpp"
#include "tests/support/step_loop.hpp"
#include "tests/support/training_step.hpp"

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
                         TransportKind transport) {
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

std::vector<TransportKind> transports() {
  const Communicator comm(MPI_COMM_WORLD);
  if (comm.size() <= 2) return {TransportKind::mpi, TransportKind::hier, TransportKind::shm};
  return {TransportKind::mpi, TransportKind::hier};
}

/// Calls visit(case, transport) for each case with one transport; each transport meets every
/// router, placement, dtype and number of choices.
void for_each_case(int turn, const std::function<void(test::StackCase, TransportKind)>& visit) {
  const std::vector<TransportKind> kinds = transports();
  size_t next = static_cast<size_t>(turn);
  for (const test::StackCase& c : test::stack_cases()) {
    const TransportKind transport = kinds[next++ / 2 % kinds.size()];
    INFO(transport_name(transport) << ", " << c.name());
    visit(c, transport);
  }
}

}  // namespace

TEST_CASE("counting works") {
  const int64_t before = test::allocation_count();
  const Buffer buffer(100);
  const Buffer mapped(int64_t{4} << 20);
  ::operator delete(::operator new(40));  // called by name: compilers leave out those of vectors
  CHECK(test::allocation_count() - before == 3);
}

TEST_CASE("after the first steps of a size the step loop allocates nothing, planning included") {
  const int64_t ranks = Communicator(MPI_COMM_WORLD).size();
  for_each_case(0, [&](test::StackCase c, TransportKind transport) {
    c.threads = 1;
    c.seq_len = c.batch_tokens;  // so that positions repeat too
    const auto stream = test::repeating_stream(c.config.vocab_size, c.batch_tokens);
    const Counts counts = count_allocations(c, *stream, transport);
    CHECK(counts.in_steps == 0);
    CHECK(counts.around_steps == 0);
    CHECK(counts.heap_growth < 65536 * ranks);  // MPI's own pools, which grow with peers
  });
}

TEST_CASE("a planner that has met its sizes allocates nothing, in whatever order they come") {
  const Communicator comm(MPI_COMM_WORLD);
  Watch watch(comm, 120.0, nullptr);
  const StackGeometry geometry(std::vector(2, contiguous_placement(12, comm.size())), 2,
                               nodes_of_equal_size(comm.size(), 2));
  const HashRouter router({.vocab_size = 50, .feature = HashFeature::bigram});
  std::vector<int32_t> ids(16);
  make_zipf_stream(50, 0.0, 1)->read(0, ids);
  const Topology topology = topology_by_label(comm, watch, comm.rank() / 2);
  Planner planner(geometry, router, {comm, topology, watch}, 2);
  std::vector<Ticket> under_way(2);
  int64_t before = 0;
  constexpr int64_t kWarmup = 12;  // each of two plans has met each of three sizes
  for (int64_t step = 0; step < 2 * kWarmup; ++step) {
    if (step == kWarmup) before = test::allocation_count();
    Ticket& ticket = under_way[step % 2];
    if (step >= 2) {
      planner.wait(ticket);
      planner.release(ticket);
    }
    const auto tokens = static_cast<size_t>((step % 3) * 5 + (step % 3 == 0 ? 0 : comm.rank()));
    ticket = planner.submit({.ids = std::span(ids).first(tokens), .seq_len = 16});
  }
  CHECK(test::allocation_count() == before);
  CHECK(planner.slots() == 2);
}

TEST_CASE("planning's buffers are said to be as large as what is allocated for them") {
  const Communicator comm(MPI_COMM_WORLD);
  Watch watch(comm, 120.0, nullptr);
  test::StackCase c = test::stack_cases().front();
  c.config.router = RouterKind::token;
  c.config.num_experts = 4096;  // counts beside which all else is small
  const auto stream = test::stack_stream(c);
  const NodeMap nodes = nodes_of_equal_size(comm.size(), 2);
  const test::CaseRouting routing = test::stack_routing(c, *stream, {nodes});
  const int64_t batch_words = routing.geometry.batch_words();
  for (const bool on_nodes : {false, true}) {
    // Memory of a node is not the heap's: what is left there are this rank's own words.
    const Topology topology = topology_by_label(comm, watch, on_nodes ? 0 : comm.rank());
    const int64_t ranks_of_node = topology.node.size();
    for (const Planning planning : {Planning::exchange, Planning::replicated}) {
      for (const int depth : {0, 2}) {
        INFO("replicated " << (planning == Planning::replicated) << ", depth " << depth << ", "
                           << ranks_of_node << " ranks a node");
        const PlanningOptions options{planning, depth};
        PhaseLog log(&watch, 1, false);
        const int64_t said =
            planning_buffer_bytes(batch_words, comm.size(), ranks_of_node, options);
        const int64_t before = test::allocated_bytes();
        StreamPlanner planner(
            routing.geometry, *routing.router, *stream,
            {.batch_tokens = c.batch_tokens, .ep_size = comm.size(), .ep_rank = comm.rank()},
            options, JobRanks{comm, topology, watch}, log);
        if (planning == Planning::replicated) {  // buffers come with batches
          for (int64_t i = 0; i < planner.slots(); ++i) planner.begin();
        }
        const int64_t allocated = test::allocated_bytes() - before;
        const bool is_shared = planning == Planning::exchange && ranks_of_node > 1;
        const int64_t on_heap =
            is_shared ? (kStatusWords + batch_words) * static_cast<int64_t>(sizeof(CountWord))
                      : said;
        CHECK(planner.buffer_bytes() == said);
        CHECK(allocated >= on_heap);
        CHECK(allocated <= on_heap + (planner.slots() + comm.size()) * 8192);  // they stand in
        const int64_t buffers = planning == Planning::replicated ? depth + 1 : std::max(1, depth);
        const int64_t counts = buffers * comm.size() * c.config.num_experts * 4;
        CHECK(said >= counts / (is_shared ? ranks_of_node : 1));
      }
    }
  }
}

TEST_CASE("with other tokens in every batch the step itself still allocates nothing") {
  for_each_case(2, [](const test::StackCase& c, TransportKind transport) {
    const auto stream = test::stack_stream(c);
    const Counts counts = count_allocations(c, *stream, transport);
    CHECK(counts.in_steps == 0);
  });
}

TEST_CASE("steps of training allocate nothing after the first of a size") {
  test::Ranks ranks;
  const Topology topology = topology_by_label(ranks.comm, ranks.watch, ranks.comm.rank() / 2);
  for (const TransportKind kind : transports()) {
    for (const size_t index : {2, 12, 27}) {  // bf16, gates and shared experts among them
      test::StackCase c = test::stack_cases()[index];
      c.threads = 1;
      INFO(transport_name(kind) << ", " << c.name());
      const auto stream = test::stack_stream(c);
      const test::CaseRouting routing = test::stack_routing(c, *stream, {topology.nodes});
      int64_t begin = 0;
      int64_t allocations = 0;
      test::TrainingStep step;
      step.batches = 6;
      step.before = [&](int) { begin = test::allocation_count(); };
      step.after = [&](int batch) {
        if (batch >= 2) allocations += test::allocation_count() - begin;
      };
      const BatchPlan plan = test::training_plan(c, routing, *stream, step.settings.gradient_block,
                                                 ranks.comm.size(), ranks.comm.rank());
      const auto transport = make_transport(kind, ranks.comm, topology, ranks.watch, 1);
      test::train_step(c, routing.geometry, plan, *transport, step, &ranks.comm, &ranks.watch);
      CHECK(allocations == 0);
    }
  }
}
