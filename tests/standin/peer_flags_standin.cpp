// SPDX-License-Identifier: Apache-2.0
// What stands in for kernels/rows/peer_flags_cuda.cu: the same words in memory that processes
// share, looked at again and again by the calls of the host that waits.
#include "kernels/rows/peer_flags.hpp"

#include <atomic>
#include <chrono>

#include "core/cuda/check_cuda.hpp"
#include "hashep/error.hpp"
#include "kernels/argument_checks.hpp"
#include "tests/standin/state.hpp"

namespace hashep {
namespace {

using Clock = std::chrono::steady_clock;
namespace standin = test::standin;

/// A GPU would end with an error, or read what it must not.
void require_place(const void* data, size_t bytes, standin::Place place) {
  if (standin::state().memory.place(data, static_cast<int64_t>(bytes)) != place) {
    throw RunError("step_flags: an address that is not of its kind of memory");
  }
}

void require_places(const PeerFlags& flags) {
  const auto peers = static_cast<size_t>(flags.num_peers);
  const size_t bytes = static_cast<size_t>(flags.num_marks) * peers * sizeof(int64_t);
  require_place(flags.own, bytes, standin::Place::gpu);
  require_place(flags.exchange, sizeof(int64_t), standin::Place::gpu);
  require_place(flags.peers, peers * sizeof(int64_t*), standin::Place::gpu);
  for (size_t peer = 0; peer < peers; ++peer) {
    require_place(flags.peers[peer], bytes, standin::Place::gpu);
  }
  require_place(flags.status, sizeof(PeerWaitStatus), standin::Place::pinned);
}

int64_t flag_bytes(const PeerFlags& flags) {
  return int64_t{flags.num_marks} * flags.num_peers * static_cast<int64_t>(sizeof(int64_t));
}

/// All of it stands as long as the flags do, peers' memory too.
standin::MemoryRanges memory_of(const PeerFlags& flags) {
  standin::MemoryRanges memory = {{flags.own, flag_bytes(flags)},
                                  {flags.status, sizeof(PeerWaitStatus)}};
  const auto peers = flags.num_peers * static_cast<int64_t>(sizeof(int64_t*));
  if (!standin::state().memory.is_gpu(flags.peers, peers)) return memory;  // an error when it runs
  for (int peer = 0; peer < flags.num_peers; ++peer) {
    memory.push_back({flags.peers[peer], flag_bytes(flags)});
  }
  return memory;
}

/// One run of a step.
class FlagRun {
 public:
  FlagRun(const PeerFlags& flags, const FlagStep& step) : flags_(flags), step_(step) {
    require_places(flags);
    if (is_stopped()) return;
    if (step.begins) ++*flags.exchange;
    number_ = *flags.exchange - step.lag;
    for (int peer = 0; peer < flags.num_peers && step.signal != FlagStep::kNone; ++peer) {
      int64_t& flag = flags.peers[peer][step.signal * flags.num_peers + flags.rank];
      std::atomic_ref(flag).store(*flags.exchange, std::memory_order_release);
    }
  }

  bool is_done() {
    if (step_.wait == FlagStep::kNone || is_stopped()) return true;
    int64_t* const row = flags_.own + step_.wait * flags_.num_peers;
    while (next_ < flags_.num_peers &&
           std::atomic_ref(row[next_]).load(std::memory_order_acquire) >= number_) {
      ++next_;
    }
    if (next_ == flags_.num_peers) return true;
    const bool is_late = Clock::now() > deadline_;
    if (!is_late && std::atomic_ref(flags_.status->stop).load() == 0) return false;
    *flags_.exchange = kExchangesStopped;
    if (is_late) tell();
    return true;
  }

 private:
  bool is_stopped() const { return *flags_.exchange == kExchangesStopped; }

  void tell() {
    flags_.status->peer = next_;
    flags_.status->mark = step_.wait;
    flags_.status->exchange = number_;
    std::atomic_ref(flags_.status->gave_up).store(1);
    std::atomic_ref(flags_.status->stop).store(1);
  }

  PeerFlags flags_;
  FlagStep step_;
  int64_t number_ = 0;
  int next_ = 0;  // the first peer whose flag is missing
  Clock::time_point deadline_ = Clock::now() + std::chrono::nanoseconds(flags_.deadline_ns);
};

}  // namespace

void step_flags(const PeerFlags& flags, const FlagStep& step, DeviceStream stream) {
  check_flag_step(flags, step);
  const auto work = [flags, step]() -> standin::Poll {
    return [run = FlagRun(flags, step)]() mutable { return run.is_done(); };
  };
  const int code = standin::enqueue_polled(stream, work, memory_of(flags));
  check_cuda(static_cast<cudaError_t>(code), "step_flags");
}

}  // namespace hashep
