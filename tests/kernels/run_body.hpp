// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/ffn/row_tiling.hpp"
#include "kernels/gate/gate_body.hpp"

namespace hashep::test {

/// Runs a kernel's body on the CPU over all blocks and threads of its launch, one after the other;
/// after_thread() is called after each thread.
template <typename Body, typename AfterThread>
void run_body(const typename Body::Arguments& arguments, const AfterThread& after_thread) {
  const int64_t blocks = arguments.blocks();
  for (int64_t block = 0; block < blocks; ++block) {
    for (int thread = 0; thread < kBlockThreads; ++thread) {
      Body::run(arguments, block, thread);
      after_thread();
    }
  }
}

template <typename Body>
void run_body(const typename Body::Arguments& arguments) {
  run_body<Body>(arguments, [] {});
}

/// The same for gate_weights, whose threads tell each other sums: all threads of a block take each
/// of its parts before the next; after_thread() is called after each thread's part.
template <typename Body, typename AfterThread>
void run_gate_body(const GateArguments& arguments, const AfterThread& after_thread) {
  const int64_t blocks = arguments.blocks();
  typename Body::Shared shared;
  for (int64_t block = 0; block < blocks; ++block) {
    Body::run_block(arguments, block, shared, [&](const auto& work) {
      for (int thread = 0; thread < kBlockThreads; ++thread) {
        work(thread);
        after_thread();
      }
    });
  }
}

template <typename Body>
void run_gate_body(const GateArguments& arguments) {
  run_gate_body<Body>(arguments, [] {});
}

}  // namespace hashep::test
