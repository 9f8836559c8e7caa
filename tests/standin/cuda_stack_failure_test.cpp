// SPDX-License-Identifier: Apache-2.0
// Whatever call fails in the life of a stack: an error that names it, nothing lost, nothing leaked,
// and no result that only looks right.
#include <set>
#include <string>

#include "hashep/error.hpp"
#include "runtime/layer/oracle_check.hpp"
#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/gpu_stack.hpp"

namespace hashep::test {
namespace {

constexpr int kUnknownCudaError = 999;
constexpr int kCublasExecutionFailed = 13;

/// Calls whose failure can only be warned of: they take something down.
const std::set<std::string> kReleases = {"cudaDeviceSynchronize",
                                         "cudaFree",
                                         "cudaFreeHost",
                                         "cudaStreamDestroy",
                                         "cudaEventDestroy",
                                         "cudaGraphDestroy",
                                         "cudaGraphExecDestroy",
                                         "cublasDestroy",
                                         "cublasLtDestroy",
                                         "cublasLtMatmulDescDestroy",
                                         "cublasLtMatrixLayoutDestroy",
                                         "cublasLtMatmulPreferenceDestroy"};

int code_for(const std::string& call) {
  return call.starts_with("cublas") ? kCublasExecutionFailed : kUnknownCudaError;
}

/// A stack's life: two steps, graphs and all ways of issuing GEMMs. Returns the last result.
std::vector<float> live(const StackSteps& steps, GemmGrouping grouping) {
  CudaExecOptions options = gpu_options(steps.stack_case());
  options.graph = GraphMode::on;
  options.grouping = grouping;
  CudaStack stack(steps.config(), steps.weights(), steps.placements(), 0, options);
  stack.set_input(steps.input());
  stack.prepare(steps.plan(0));
  stack.prepare(steps.plan(1));
  stack.run(0);
  stack.run(1);
  wait_for_step(stack, 1);
  static_cast<void>(stack.phases(1));
  return fetch_result(stack);
}

TEST_CASE("each call of a stack's life may fail") {
  const GemmGrouping grouping =
      GENERATE(GemmGrouping::per_expert, GemmGrouping::grouped, GemmGrouping::fused);
  StackCase c = full_case();
  if (grouping == GemmGrouping::fused) c.dtype = DType::bf16;
  const StackSteps steps(c, 2);
  int64_t failures = 0;
  for (const std::string& call : standin::call_names()) {
    // The first times, and some later ones: a call may be made hundreds of times.
    for (int64_t n = 0;; n += 1 + n / 2) {
      standin::reset(standin::Order::lazy);
      standin::fail(call, code_for(call), n);
      INFO(call << ", time " << n);
      std::string text;
      std::vector<float> result;
      try {
        result = live(steps, grouping);
      } catch (const RunError& error) {
        text = error.what();
      }
      const bool was_made = standin::calls(call) > n;
      if (was_made && !kReleases.contains(call)) {
        CHECK(text != "");
        ++failures;
      } else if (text.empty()) {
        CHECK(steps.difference(result, 1, grouping).share <= 1.0);
      }
      CHECK(standin::alive().device_bytes == 0);
      CHECK(standin::alive().pinned_bytes == 0);
      CHECK(standin::alive().objects == 0);
      if (!was_made) break;
    }
  }
  CHECK(failures > 60);
}

}  // namespace
}  // namespace hashep::test
