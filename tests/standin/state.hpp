// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/standin/capture.hpp"
#include "tests/standin/environment.hpp"
#include "tests/standin/memory.hpp"
#include "tests/standin/queue.hpp"
#include "tests/standin/standin.hpp"
#include "tests/standin/table.hpp"

namespace hashep::test::standin {

/// What a handle of cuBLAS points to.
struct BlasObject {
  virtual ~BlasObject() = default;
};

/// What a communicator of NCCL holds. It ends in a thread of its own where it is aborted.
struct CommunicatorHold {
  std::atomic<bool> is_aborting = false;
  std::atomic<bool> is_gone = false;
  MemoryRanges captured;  // of messages in graphs when it was aborted: NCCL's until it is gone
  std::map<const void*, MemoryRange> registered;  // by handle

  bool holds(const MemoryRange& range) const;
};

/// All that the stand-in knows. The C functions that it stands in for have no place for an object
/// of ours, so there is one a process, as there is of the runtime itself.
struct State {
  struct Failure {
    std::string call;
    int64_t at = 0;  // the call's number since `reset`, from 0
    int code = 0;
  };
  /// HASHEP_STANDIN_FAIL: one, or none.
  static std::vector<Failure> failures_from_environment();

  Order order = order_from_environment().order;
  std::vector<SharedQueue> queues = std::vector<SharedQueue>(order_from_environment().queues);
  SharedQueue copies;
  int gpu_count = gpus_from_environment();
  bool peer_access = true;
  int current_gpu = 0;
  std::map<std::string, int64_t> calls;
  std::vector<Failure> failures = failures_from_environment();
  cudaError_t last_error = cudaSuccess;
  cudaError_t work_error = cudaSuccess;  // what work on a stream ended with; stays

  Memory memory;
  Table<CUstream_st> streams;
  Table<CUevent_st> events;
  Table<CUgraph_st> graphs;
  Table<CUgraphExec_st> graph_execs;
  std::weak_ptr<const GraphNodes> last_graph;
  Table<BlasObject> blas_objects;
  std::shared_ptr<void> nccl;  // what nccl.cpp knows; null before its first call
  std::set<const void*>
      nccl_memory;  // of ncclMemAlloc, which is not the runtime's to free or share
  std::vector<std::shared_ptr<const CommunicatorHold>> communicators;
  std::map<const void*, Clock> workspaces;  // where the last use of each stands
  int64_t streams_made = 0;
  Clock host_clock;
  int64_t ticks = 0;
  int64_t moves = 0;    // of work that was done, and of all else that stood in a stream or a graph
  int64_t replays = 0;  // asked for
  bool moving = false;  // queues are being worked on
  int in_vain = 0;      // questions since one was answered by yes
  int64_t freed_while_held = 0;
};
State& state();

/// Counts a call, and returns the code that it is to fail with, if any.
std::optional<int> count_call(const std::string& call);

/// Puts an error on the record that cudaGetLastError returns, and returns it.
cudaError_t record_error(cudaError_t code);

/// A call of the runtime: counted, failing where it is to, else what `body` returns.
template <typename Body>
cudaError_t cuda_call(const char* call, Body&& body) {
  if (const auto code = count_call(call)) return record_error(static_cast<cudaError_t>(*code));
  if (state().gpu_count == 0) return record_error(cudaErrorNoDevice);
  if (state().work_error != cudaSuccess) return record_error(state().work_error);
  return record_error(body());
}

/// A call that gives something back: it does so also where it is to fail, as the real ones do when
/// they pass on an earlier error, so that what is alive after a failure was leaked by the caller.
template <typename Body>
cudaError_t cuda_release(const char* call, Body&& body) {
  const auto injected = count_call(call);
  const cudaError_t code = body();
  if (injected) return record_error(static_cast<cudaError_t>(*injected));
  return record_error(code != cudaSuccess ? code : state().work_error);
}

/// Null where the handle is no stream, or one that was destroyed. The default stream is none:
/// HashEP has no use for it.
CUstream_st* find_stream(cudaStream_t handle);

/// Asks a stream for work: recorded where it is captured, else queued. Where it uses a workspace
/// that earlier work uses, it must come after that: cudaErrorInvalidValue. `memory`: what it has
/// the addresses of.
cudaError_t ask(cudaStream_t stream, std::function<void()> work, const void* workspace = nullptr,
                MemoryRanges memory = {});
cudaError_t ask_polled(cudaStream_t stream, Work work, const void* workspace = nullptr,
                       MemoryRanges memory = {});
cudaError_t ask_copy(cudaStream_t stream, std::function<void()> work, MemoryRanges memory = {});

bool overlap(const MemoryRange& a, const MemoryRange& b);
/// Whether the allocation that begins at `data` must stay, which it notes: an instantiated graph
/// has its address, or a communicator does. For calls that free.
bool is_held(const void* data, const char* call);

}  // namespace hashep::test::standin
