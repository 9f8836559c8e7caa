// SPDX-License-Identifier: Apache-2.0
// The main of tests that need a GPU: they run on the first one, or say why they are skipped.
#include <cstdio>
#include <exception>

#ifndef HASHEP_CATCH2_V3
#define CATCH_CONFIG_RUNNER
#endif
#include "core/cuda/device.hpp"
#include "tests/support/catch.hpp"

int main(int argc, char** argv) {
  constexpr int kSkipped = 77;  // SKIP_RETURN_CODE of these tests
  try {
    const hashep::GpuSearch search = hashep::find_gpus();
    if (search.count == 0) {
      std::printf("skipped: no GPU: %s\n", search.why_none.c_str());
      return kSkipped;
    }
    std::printf("on %s\n", hashep::use_gpu(0).description.c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return Catch::Session().run(argc, argv);
}
