// SPDX-License-Identifier: Apache-2.0
// The kernels' bodies as nvcc compiles them: free to fuse a product with a sum.
#include <cmath>
#include <cstdio>

#include "tests/kernels/body_machine.hpp"
#include "tests/kernels/fused_sum.hpp"
#include "tests/kernels/kernel_cases.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

/// Whether this CPU can run the bodies; says so where it can't (ctest looks for these words).
bool can_run() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("fma")) {
    std::printf("skipped: this CPU has no fused multiply-add\n");
    return false;
  }
#endif
  return true;
}

}  // namespace

TEST_CASE("the compiler fuses what the bodies leave to it") {
  if (!can_run()) return;
  const float a = 1.0f + 0x1p-20f;
  const float square = std::fma(a, a, 0.0f);
  CHECK(product_and_sum(a, a, -square) == std::fma(a, a, -square));
  CHECK(product_and_sum(a, a, -square) != 0.0f);
}

TEST_CASE("a compiler that fuses changes no bit of combine") {
  if (!can_run()) return;
  BodyMachine machine;
  check_combine_cases(machine);
}

TEST_CASE("a compiler that fuses changes no bit of add_rows and add_bias") {
  if (!can_run()) return;
  BodyMachine machine;
  check_add_rows_cases(machine);
  check_add_bias_cases(machine);
}

TEST_CASE("a compiler that fuses leaves the gate's sums as they are") {
  if (!can_run()) return;
  BodyMachine machine;
  check_gate_fuses(machine);
  check_gate_independence(machine);
}

}  // namespace hashep::test
