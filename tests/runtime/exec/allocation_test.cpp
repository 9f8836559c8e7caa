// SPDX-License-Identifier: Apache-2.0
// Promise 4 of the design: a quiet step loop.
#include "tests/support/allocation_count.hpp"

#include <malloc.h>

#include <cstring>

#include "comm/transport/mpi_transport.hpp"
#include "runtime/exec/layer_stack.hpp"
#include "runtime/exec/plan_pipeline.hpp"
#include "runtime/model/synthetic_weights.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/local_stack.hpp"

using namespace hashep;

namespace {

/// A stream that repeats itself every `period` ids, so that every batch of that size is the same.
class RepeatingStream final : public TokenStream {
 public:
  RepeatingStream(int64_t vocab_size, int64_t period)
      : zipf_(make_zipf_stream(vocab_size, 1.0, 1)), period_(period) {}
  void read(int64_t first, std::span<int32_t> out) const override {
    for (size_t i = 0; i < out.size(); ++i) {
      zipf_->read((first + static_cast<int64_t>(i)) % period_, out.subspan(i, 1));
    }
  }
  std::optional<int64_t> size() const override { return period_; }

 private:
  std::unique_ptr<TokenStream> zipf_;
  int64_t period_;
};

struct Counts {
  int64_t in_steps = 0;      // inside LayerStack::run
  int64_t around_steps = 0;  // routing, planning exchange, plans, prepare
  int64_t heap_growth = 0;   // bytes, of the whole process
};

/// Runs steps of a case over MPI and counts after the first few.
Counts count_allocations(const test::StackCase& c, const TokenStream& stream, int64_t steps) {
  constexpr int64_t kWarmup = 3;  // two plan buffers and one more
  const Communicator comm(MPI_COMM_WORLD);
  Watch watch(comm, 120.0, nullptr);
  const StackRouting routing = test::stack_routing(c, stream, comm.size());
  const auto weights = make_synthetic_weights(c.config, c.dtype, 1);
  MpiTransport transport(comm, watch, c.threads);
  LayerStack stack(c.config, *weights, routing.placements, comm.rank(), c.residual,
                   {.dtype = c.dtype, .threads = c.threads, .check_finite = false}, transport);
  PhaseLog log(&watch, 1000, true);
  const BatchSplit split{.batch_tokens = c.batch_tokens,
                         .seq_len = c.seq_len,
                         .ep_size = comm.size(),
                         .ep_rank = comm.rank()};
  PlanPipeline pipeline(routing, stream, split, Planning::exchange, &comm, &watch);
  const std::vector<std::byte> input = test::stack_input(c, comm.size(), comm.rank());
  std::vector<std::byte> x = input;
  const int64_t rows = split_range(c.batch_tokens, comm.size(), comm.rank()).size();

  Counts counts;
  int64_t begin = 0;
  size_t heap = 0;
  pipeline.start(0, log);
  for (int64_t step = 0; step < steps; ++step) {
    if (step == kWarmup) {
      counts = {};
      begin = test::allocation_count();
      heap = mallinfo2().uordblks + mallinfo2().hblkhd;
    }
    const BatchPlan& plan = pipeline.finish(log);
    stack.prepare(plan);
    pipeline.start(step + 1, log);
    std::memcpy(x.data(), input.data(), input.size());
    const int64_t before = test::allocation_count();
    stack.run(plan, {x.data(), c.dtype, rows, c.config.hidden_size}, log);
    counts.in_steps += test::allocation_count() - before;
  }
  counts.around_steps = test::allocation_count() - begin - counts.in_steps;
  counts.heap_growth =
      static_cast<int64_t>(mallinfo2().uordblks + mallinfo2().hblkhd) - static_cast<int64_t>(heap);
  pipeline.finish(log);
  return counts;
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
  for (test::StackCase c : test::stack_cases()) {
    c.threads = 1;
    INFO(c.name());
    c.seq_len = c.batch_tokens;  // so that positions repeat too
    const RepeatingStream stream(c.config.vocab_size, c.batch_tokens);
    const Counts counts = count_allocations(c, stream, 12);
    CHECK(counts.in_steps == 0);
    CHECK(counts.around_steps == 0);
    CHECK(counts.heap_growth < 65536);
  }
}

TEST_CASE("with other tokens in every batch the step itself still allocates nothing") {
  for (test::StackCase c : test::stack_cases()) {
    INFO(c.name());
    const auto stream = test::stack_stream(c);
    const Counts counts = count_allocations(c, *stream, 12);
    CHECK(counts.in_steps == 0);
  }
}
