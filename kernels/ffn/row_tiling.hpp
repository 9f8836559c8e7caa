// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/host_device.hpp"

namespace hashep {

inline constexpr int kBlockThreads = 128;  // of every kernel: 16 blocks fill a multiprocessor

/// Where a thread begins.
struct RowPosition {
  int64_t row = 0;
  int64_t step = 0;
};

/// How the threads of a kernel share rows, each of `steps` accesses: a power of two of threads has
/// a row, several rows have a block where they are short. Thread `t` of a row takes steps t,
/// t + row_threads, ..., so that neighbours touch neighbouring memory.
struct RowTiling {
  int64_t rows = 0;
  int64_t steps = 0;
  int row_threads_log2 = 0;

  HASHEP_HOST_DEVICE constexpr int row_threads() const { return 1 << row_threads_log2; }
  HASHEP_HOST_DEVICE constexpr int rows_per_block() const {
    return kBlockThreads >> row_threads_log2;
  }

  /// The number of blocks of kBlockThreads threads; 0: nothing to do.
  constexpr int64_t blocks() const {
    return steps == 0 ? 0 : (rows + rows_per_block() - 1) / rows_per_block();
  }

  /// Where `thread` of `block` begins; a row past the last one: nowhere.
  HASHEP_HOST_DEVICE constexpr RowPosition position(int64_t block, int thread) const {
    return {block * rows_per_block() + (thread >> row_threads_log2), thread & (row_threads() - 1)};
  }
};

/// Up to 8 threads (128 bytes side by side) take one step of a row each, more of them four each.
constexpr RowTiling tile_rows(int64_t rows, int64_t steps) {
  constexpr int kThreadsOfOneStep = 8;
  constexpr int kStepsPerThread = 4;
  int log2 = 0;
  for (int threads = 1; threads < kBlockThreads; threads *= 2) {
    if (threads * (threads < kThreadsOfOneStep ? 1 : kStepsPerThread) >= steps) break;
    ++log2;
  }
  return {rows, steps, log2};
}

}  // namespace hashep
