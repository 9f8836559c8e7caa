// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "comm/communicator.hpp"
#include "comm/watch.hpp"
#include "hashep/split.hpp"

namespace hashep {

/// One stretch of memory that all ranks of a node read and write with plain loads and stores: a
/// file of /dev/shm without a name. Mapping it takes address space alone; a part is memory, and may
/// be touched, once a rank has reserved it. Why not MPI_Win_allocate_shared: it reserves nothing,
/// so that a rank which touches memory when /dev/shm is full gets SIGBUS, it cannot be waited for
/// under a deadline, and freeing it is collective.
class SharedWindow {
 public:
  SharedWindow() = default;  // holds nothing
  /// Collective over `node`, whose ranks must see one /dev/shm; `bytes`, more than 0, is the same
  /// on all of them. Throws, on all of them, as agree does where that fails.
  SharedWindow(const Communicator& node, Watch& watch, int64_t bytes)
      : SharedWindow(node, watch, bytes, node) {}
  /// The same where the ranks of `all`, those of several nodes, make their windows at once, or none
  /// does. Collective over `all`.
  SharedWindow(const Communicator& node, Watch& watch, int64_t bytes, const Communicator& all);
  /// Local: whatever the other ranks do, they keep what they have mapped.
  ~SharedWindow();
  SharedWindow(SharedWindow&& other) noexcept;
  SharedWindow& operator=(SharedWindow&& other) noexcept;

  /// Reserves the pages of `own`, bytes of the window, which may be none and of which a first part
  /// may be reserved: each rank those that it uses most, since Linux takes them from the memory
  /// near the core that asks. New ones are zeros. Collective over the same node, or over `all`,
  /// where it was made by all: afterwards the parts of all ranks may be touched. Throws, on all of
  /// them, as agree does where the system has not that much shared memory.
  void reserve(const Communicator& ranks, Watch& watch, Range own);

  /// The beginning of a page. The same memory on all ranks, perhaps at another address.
  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

  /// Leaves it mapped, for MPI, which still works on something there.
  void abandon() noexcept { data_ = nullptr; }

 private:
  void free() noexcept;

  int file_ = -1;
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
  int64_t reserved_ = 0;  // by this rank
};

}  // namespace hashep
