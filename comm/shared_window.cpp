// SPDX-License-Identifier: Apache-2.0
#include "comm/shared_window.hpp"

#include <exception>
#include <utility>

#include "core/error.hpp"
#include "core/units.hpp"

namespace hashep {
namespace {

constexpr int64_t kAlignment = 64;  // bytes: a cache line

}  // namespace

SharedWindow::SharedWindow(const Communicator& node, int64_t bytes) : bytes_(bytes) {
  const bool allocates = node.rank() == 0;
  std::byte* own = nullptr;
  const int code =
      MPI_Win_allocate_shared(allocates ? static_cast<MPI_Aint>(bytes + kAlignment) : 0, 1,
                              MPI_INFO_NULL, node.get(), static_cast<void*>(&own), &window_);
  if (code != MPI_SUCCESS) {
    window_ = MPI_WIN_NULL;
    try {
      check_mpi(code, "MPI_Win_allocate_shared");
    } catch (const RunError& error) {
      throw RunError(std::string(error.what()) + " (" + format_bytes(bytes) +
                     " of shared memory; is /dev/shm large enough? --transport mpi needs none)");
    }
  }
  MPI_Aint size = 0;
  int unit = 0;
  std::byte* first = nullptr;
  check_mpi(MPI_Win_shared_query(window_, 0, &size, &unit, static_cast<void*>(&first)),
            "MPI_Win_shared_query");
  // Plain loads and stores are allowed within an epoch; this one lasts as long as the window.
  check_mpi(MPI_Win_lock_all(MPI_MODE_NOCHECK, window_), "MPI_Win_lock_all");
  // All ranks map it from a page's start on: what is aligned on one is aligned on all.
  const auto misplaced = static_cast<int64_t>(reinterpret_cast<uintptr_t>(first) % kAlignment);
  data_ = first + (misplaced == 0 ? 0 : kAlignment - misplaced);
}

SharedWindow::~SharedWindow() {
  free();
}

SharedWindow::SharedWindow(SharedWindow&& other) noexcept
    : window_(std::exchange(other.window_, MPI_WIN_NULL)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

SharedWindow& SharedWindow::operator=(SharedWindow&& other) noexcept {
  if (this == &other) return *this;
  free();
  window_ = std::exchange(other.window_, MPI_WIN_NULL);
  data_ = std::exchange(other.data_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  return *this;
}

void SharedWindow::free() {
  // Freeing is collective: while an error unwinds this rank, others may never come to it.
  if (window_ != MPI_WIN_NULL && std::uncaught_exceptions() == 0 && mpi_is_up()) {
    MPI_Win_unlock_all(window_);
    MPI_Win_free(&window_);
  }
  window_ = MPI_WIN_NULL;
}

}  // namespace hashep
