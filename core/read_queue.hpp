// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace hashep {

/// A read of a file into memory.
struct ReadRequest {
  int descriptor = -1;
  int64_t offset = 0;
  std::byte* to = nullptr;
  int64_t bytes = 0;
  uint64_t tag = 0;  // which the result has
};

/// What became of one.
struct ReadResult {
  uint64_t tag = 0;
  int64_t bytes = 0;  // that were read; fewer than asked for at the end of a file, or by chance
  int error = 0;      // errno, where nothing was read for a reason; else 0
};

/// Reads that are under way at once. Used by one thread.
class ReadQueue {
 public:
  /// Waits for what is under way.
  virtual ~ReadQueue() = default;

  /// "io_uring", "threads".
  virtual std::string_view name() const = 0;
  /// Begins a read, whose memory must stay until its result is there. Fewer than the depth that the
  /// queue was made for may be under way.
  virtual void submit(const ReadRequest& request) = 0;
  /// Waits for the result of any read that is under way.
  virtual ReadResult wait() = 0;
};

/// By io_uring, where this build and system have it, else by threads that call pread.
std::unique_ptr<ReadQueue> make_read_queue(int depth);

/// The second of them.
std::unique_ptr<ReadQueue> make_thread_read_queue(int depth);
/// The first; null where the system refuses it.
std::unique_ptr<ReadQueue> make_uring_read_queue(int depth);

}  // namespace hashep
