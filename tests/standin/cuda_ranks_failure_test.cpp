// SPDX-License-Identifier: Apache-2.0
// Stacks on the GPUs of several ranks that an error ends, on the stand-in: NCCL is not done with an
// abort before graphs are gone, and memory stays until it is.
#include <nccl.h>

#include <chrono>
#include <string>

#include "tests/standin/nccl.hpp"
#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/device_stack_ways.hpp"

namespace hashep::test {
namespace {

using Clock = std::chrono::steady_clock;

struct Ending {
  std::string text;
  std::chrono::duration<double> took{};  // from the error to the end of the stack
};

/// A stack of graphs whose second exchange by NCCL meets an error.
Ending end_by_error(const std::string& transport, Ranks& ranks, GraphMode graph) {
  const Topology topology = topology_by_label(ranks.comm, ranks.watch, ranks.comm.rank());
  const StackCase c = full_case();
  const StackSteps steps(c, 2, transport == "hier" ? topology.nodes : one_node(ranks.comm.size()),
                         ranks.comm.rank());
  CudaExecOptions options = gpu_options(c);
  options.graph = graph;
  Ending ending;
  Clock::time_point last_look;
  standin::nccl_async_error(ncclRemoteError, 2);
  try {
    CudaStack stack(c.config, steps.weights(), steps.placements(), ranks.comm.rank(), options,
                    make_transport({transport}, ranks, topology));
    stack.set_input(steps.input());
    stack.prepare(steps.plan(0));
    stack.prepare(steps.plan(1));
    stack.run(0);
    const auto is_done = [&] {
      last_look = Clock::now();
      return stack.is_done(0);
    };
    ranks.watch.wait_until(1, is_done, [] { return ""; });
  } catch (const RunError& error) {
    ending.text = error.what();
    ending.took = Clock::now() - last_look;
  }
  return ending;
}

TEST_CASE("a stack that an error ends drops its graphs before it waits for NCCL") {
  Ranks ranks;
  if (ranks.comm.size() == 1) return;
  for (const GraphMode graph : {GraphMode::on, GraphMode::off}) {
    for (const char* const transport : {"direct", "unpack", "hier"}) {
      INFO(transport);
      standin::reset(standin::Order::lazy);
      const Ending ending = end_by_error(transport, ranks, graph);
      CHECK_THAT(ending.text, ContainsSubstring("failed with code 6: remote process exited"));
      CHECK(ending.took.count() < 1.5);  // 2 s is when an abort is given up
      CHECK(standin::calls("ncclCommAbort") == 1);
      CHECK((standin::calls("cudaGraphInstantiate") > 0) == (graph == GraphMode::on));
      CHECK(standin::freed_while_held() == 0);
      CHECK(standin::alive().device_bytes == 0);
      CHECK(standin::alive().objects == 0);
    }
  }
}

TEST_CASE("where NCCL does not come back from an abort, memory that it may touch stays") {
  Ranks ranks;
  if (ranks.comm.size() == 1) return;
  for (const char* const transport : {"unpack", "hier"}) {
    INFO(transport);
    standin::reset(standin::Order::lazy);
    standin::nccl_hang_abort();
    const Ending ending = end_by_error(transport, ranks, GraphMode::on);
    CHECK_THAT(ending.text, ContainsSubstring("failed with code 6: remote process exited"));
    CHECK(ending.took.count() < 4.0);
    CHECK(standin::freed_while_held() == 0);
    CHECK(standin::alive().device_bytes > 0);
    CHECK_THROWS_AS(standin::reset(standin::Order::lazy), RunError);
  }
}

}  // namespace
}  // namespace hashep::test
