// SPDX-License-Identifier: Apache-2.0
// The main of tests that need no MPI, compiled once.
#ifndef HASHEP_CATCH2_V3
#define CATCH_CONFIG_RUNNER
#endif
#include "tests/support/catch.hpp"

int main(int argc, char** argv) {
  return Catch::Session().run(argc, argv);
}
