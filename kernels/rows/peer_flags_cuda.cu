// SPDX-License-Identifier: Apache-2.0
#include <cuda/atomic>

#include "core/cuda/check_cuda.hpp"
#include "kernels/argument_checks.hpp"
#include "kernels/rows/peer_flags.hpp"

namespace hashep {
namespace {

constexpr int kLanes = 32;
constexpr int kSpins = 256;         // looks without a pause, for peers that are about to signal
constexpr unsigned kPauseNs = 200;  // between looks thereafter, which leaves the links to others
constexpr unsigned kAllLanes = ~0u;

/// A word that other GPUs, or the host, read or write at any time.
template <typename T>
using SystemWord = cuda::atomic_ref<T, cuda::thread_scope_system>;
/// The number of the exchange, which kernels on other streams of this GPU may stop at any time.
using DeviceWord = cuda::atomic_ref<int64_t, cuda::thread_scope_device>;

__device__ int64_t now_ns() {
  int64_t time;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(time));
  return time;
}

__device__ bool is_stopped(const PeerFlags& flags) {
  return DeviceWord(*flags.exchange).load(cuda::memory_order_relaxed) == kExchangesStopped ||
         SystemWord<int32_t>(flags.status->stop).load(cuda::memory_order_relaxed) != 0;
}

enum class Wait { over, stopped, late };

/// One lane's wait for one peer's flag.
__device__ Wait wait_for_peer(const PeerFlags& flags, int64_t* flag, int64_t number,
                              int64_t deadline) {
  const SystemWord<int64_t> word(*flag);
#pragma unroll 1
  for (int spin = 0; spin < kSpins; ++spin) {
    if (word.load(cuda::memory_order_relaxed) >= number) return Wait::over;
  }
  while (word.load(cuda::memory_order_relaxed) < number) {
    if (is_stopped(flags)) return Wait::stopped;
    if (now_ns() > deadline) return Wait::late;
    __nanosleep(kPauseNs);
  }
  return Wait::over;
}

/// Ends all exchanges; of several kernels that do so at once the first tells the host of whom.
__device__ void stop(const PeerFlags& flags, bool is_late, int peer, int mark, int64_t number) {
  const int64_t before =
      DeviceWord(*flags.exchange).exchange(kExchangesStopped, cuda::memory_order_relaxed);
  if (!is_late || before == kExchangesStopped) return;
  flags.status->peer = peer;
  flags.status->mark = mark;
  flags.status->exchange = number;
  SystemWord<int32_t>(flags.status->gave_up).store(1, cuda::memory_order_release);
  SystemWord<int32_t>(flags.status->stop).store(1, cuda::memory_order_release);
}

/// The number of the exchange under way, a new one where one begins.
__device__ int64_t this_exchange(const PeerFlags& flags, bool begins) {
  const DeviceWord word(*flags.exchange);
  int64_t number = word.load(cuda::memory_order_relaxed);
  if (!begins || number == kExchangesStopped) return number;
  const bool has_begun =
      word.compare_exchange_strong(number, number + 1, cuda::memory_order_relaxed);
  return has_begun ? number + 1 : kExchangesStopped;
}

/// One warp, lane i for peers i, i + 32, ...
__global__ void __launch_bounds__(kLanes)
    run_flag_step(const __grid_constant__ PeerFlags flags, const __grid_constant__ FlagStep step) {
  const int lane = static_cast<int>(threadIdx.x);
  const int64_t exchange =
      __shfl_sync(kAllLanes, lane == 0 ? this_exchange(flags, step.begins) : 0, 0);
  if (exchange == kExchangesStopped) return;
  if (step.signal != FlagStep::kNone) {
    // What earlier kernels of the stream wrote, at any address, comes before the flags.
    cuda::atomic_thread_fence(cuda::memory_order_release, cuda::thread_scope_system);
    for (int peer = lane; peer < flags.num_peers; peer += kLanes) {
      int64_t& flag = flags.peers[peer][step.signal * flags.num_peers + flags.rank];
      SystemWord<int64_t>(flag).store(exchange, cuda::memory_order_relaxed);
    }
  }
  if (step.wait == FlagStep::kNone) return;
  const int64_t number = exchange - step.lag;
  const int64_t deadline = now_ns() + flags.deadline_ns;
  int64_t* const row = flags.own + step.wait * flags.num_peers;
  Wait wait = Wait::over;
  int peer = lane;
  for (; peer < flags.num_peers; peer += kLanes) {
    wait = wait_for_peer(flags, row + peer, number, deadline);
    if (wait != Wait::over) break;
  }
  cuda::atomic_thread_fence(cuda::memory_order_acquire, cuda::thread_scope_system);
  const unsigned late = __ballot_sync(kAllLanes, wait == Wait::late);
  const unsigned stopped = __ballot_sync(kAllLanes, wait == Wait::stopped);
  const unsigned missing = late != 0 ? late : stopped;
  if (missing != 0 && lane == __ffs(static_cast<int>(missing)) - 1) {
    stop(flags, late != 0, peer, step.wait, number);
  }
}

}  // namespace

void step_flags(const PeerFlags& flags, const FlagStep& step, DeviceStream stream) {
  check_flag_step(flags, step);
  run_flag_step<<<1, kLanes, 0, stream.handle>>>(flags, step);
  check_cuda(cudaGetLastError(), "step_flags");
}

}  // namespace hashep
