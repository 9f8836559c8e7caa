// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "comm/communicator.hpp"
#include "comm/watch.hpp"
#include "core/device_stream.hpp"

struct ncclComm;  // NCCL's own name for what ncclComm_t points to

namespace hashep {

/// Throws RunError with call, code (an ncclResult_t) and NCCL's own texts where `code` is neither
/// ncclSuccess nor ncclInProgress. `comm` may be null.
void check_nccl(int code, const std::string& call, ncclComm* comm);

/// "NCCL 2.28.9": the library in use.
std::string nccl_version();

/// Lets ranks share a GPU, which NCCL otherwise refuses: sets the environment variable NCCL_HOSTID
/// to "<host name>-<rank>" unless it is set, so that NCCL takes each rank for a host of its own and
/// exchanges through the network. For correctness, not for speed. Before the first communicator.
void separate_nccl_hosts(int rank);

/// Owns a communicator of NCCL between the current GPUs of all ranks, one rank a process. Its calls
/// never block on a lost rank: it is a non-blocking communicator, and whatever NCCL has still in
/// progress is waited for under the Watch. Errors are RunErrors that name rank, position, call,
/// code and peer; after one the communicator is of no use, and the destructor aborts it.
class NcclCommunicator {
 public:
  /// Collective over `comm`, by which it finds the other ranks. `watch` must outlive it.
  NcclCommunicator(const Communicator& comm, Watch& watch);
  /// Ends it; collective in the sense of NCCL. Where that takes too long, or while an error
  /// unwinds, aborts. Graphs that hold its exchanges must be gone.
  ~NcclCommunicator();
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  ncclComm* get() const { return comm_; }  // null once aborted
  Watch& watch() const { return watch_; }

  /// Exchanges a word with each of these ranks, which do so too, and checks it. NCCL makes
  /// connections at the first message between two ranks, which may not be one that is captured.
  /// Waits. Collective over them.
  void connect(std::span<const int> peers);

  /// One exchange: `messages()` calls `send` and `receive`, all with the same stream, and their
  /// bytes move at once, in stream order. Exchanges of one communicator must be ordered by the
  /// stream or by events, the same on all ranks. Returns when the stream has been asked; may be
  /// captured, on all ranks alike.
  template <typename Messages>
  void exchange(Messages&& messages) {
    begin_group();
    try {
      messages();
    } catch (...) {
      drop_group();
      throw;
    }
    end_group();
  }
  /// Bytes of GPU memory to or from rank `peer`; between two ranks the k-th send of an exchange
  /// meets the k-th receive, of as many bytes. Inside of `exchange` only.
  void send(const void* data, int64_t bytes, int peer, DeviceStream stream);
  void receive(void* data, int64_t bytes, int peer, DeviceStream stream);

  /// check_nccl of a call with this communicator: rank and position stand in front.
  void check_call(int code, const std::string& call) const;

  /// Throws where NCCL has met an error since, such as a lost connection. Never waits; for loops
  /// that wait for the stream.
  void check();

  /// Ends all exchanges in progress, done or not, at most once. NCCL does so in a thread of its
  /// own, and is not back before all graphs that hold exchanges are gone: drop them after
  /// `begin_abort`.
  void begin_abort() noexcept;
  /// Waits until NCCL is back, at most about 2 s since `begin_abort`. False where it is not: it may
  /// still touch what was sent and received, which must stay, and the process is to end.
  bool end_abort() noexcept;

 private:
  explicit NcclCommunicator(Watch& watch);

  void begin_group();
  void end_group();
  void drop_group() noexcept;
  /// Waits until NCCL has nothing in progress.
  void settle(const char* call);
  bool is_finalized() noexcept;

  Watch& watch_;
  ncclComm* comm_ = nullptr;                    // null once aborted
  std::shared_ptr<std::atomic<bool>> is_back_;  // from its abort; null before that
  std::chrono::steady_clock::time_point abort_begun_;
  int rank_ = 0;
  int size_ = 1;
};

}  // namespace hashep
