// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>

#include "comm/communicator.hpp"

namespace hashep {

/// Owns an MPI shared-memory window of a node: one stretch of memory that all ranks of the node
/// read and write with plain loads and stores. The lowest rank allocates it whole, so that every
/// rank knows each place in it from sizes alone. Memory is committed page by page as it is touched.
class SharedWindow {
 public:
  SharedWindow() = default;  // holds nothing
  /// Collective over `node`, whose ranks must share memory; `bytes` is the same on all of them.
  /// Contents are undefined. Throws RunError where the system has not that much shared memory.
  SharedWindow(const Communicator& node, int64_t bytes);
  ~SharedWindow();
  SharedWindow(SharedWindow&& other) noexcept;
  SharedWindow& operator=(SharedWindow&& other) noexcept;

  /// Aligned to a cache line. The same memory on all ranks, perhaps at another address.
  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  void free();

  MPI_Win window_ = MPI_WIN_NULL;
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace hashep
