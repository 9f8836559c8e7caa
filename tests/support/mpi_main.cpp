// SPDX-License-Identifier: Apache-2.0
// The main of tests that run on several ranks.
#include "comm/communicator.hpp"
#include "tests/support/run_on_ranks.hpp"

int main(int argc, char** argv) {
  const hashep::MpiSession mpi(&argc, &argv);
  return hashep::test::run_on_ranks(argc, argv);
}
