// SPDX-License-Identifier: Apache-2.0
// Promise 1 of the design: the same bits at any scale. Transport local here, mpi in mpi_stack_test.
#include "tests/support/catch.hpp"
#include "tests/support/local_stack.hpp"

using namespace hashep;

TEST_CASE("1, 2, 3, 4, 5 and 7 ranks give the same bits, whatever the router and placement") {
  for (const test::StackCase& c : test::stack_cases()) {
    INFO(c.name());
    const auto alone = test::run_stack_locally(c, 1);
    for (const int ep_size : {2, 3, 4, 5, 7}) {
      INFO(ep_size << " ranks");
      CHECK((test::run_stack_locally(c, ep_size) == alone));
    }
  }
}

TEST_CASE("placement and threads change no bit; dtype, router and input do") {
  test::StackCase c = test::stack_cases().front();
  const auto first = test::run_stack_locally(c, 3);
  test::StackCase other = c;
  other.placement = PlacementKind::balanced;
  CHECK((test::run_stack_locally(other, 3) == first));
  other.threads = 3;
  CHECK((test::run_stack_locally(other, 2) == first));
  CHECK((test::run_stack_locally(other, 12) == first));  // more ranks than experts
  other.config.router_seed += 1;
  CHECK((test::run_stack_locally(other, 3) != first));
}

TEST_CASE("more tokens than a tile: tiles depend on row counts and the global batch alone") {
  test::StackCase c = test::stack_cases()[1];
  c.config.num_experts = 2;
  c.config.top_k = 1;
  c.config.num_shared_experts = 1;
  c.config.score = Score::none;
  // 32 rows a tile of the shared expert: on AVX2 the last two meet another kernel than the others,
  // so that a row which stands elsewhere on another number of ranks shows.
  c.batch_tokens = 1600;
  const auto alone = test::run_stack_locally(c, 1);
  CHECK((test::run_stack_locally(c, 2) == alone));
  CHECK((test::run_stack_locally(c, 5) == alone));
  c.threads = 2;
  CHECK((test::run_stack_locally(c, 3) == alone));
}
