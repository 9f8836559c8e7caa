// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/device_stream.hpp"

/// A stand-in for the few calls of the CUDA runtime and cuBLAS that HashEP makes, so that the GPU
/// path runs under test without a GPU. "GPU memory" is host memory that is poisoned when allocated,
/// a stream is a queue of functions. Never shipped, never timed; no substitute for a GPU. Like the
/// runtime it has one state per process; tests begin with `reset`. One thread at a time.
namespace hashep::test::standin {

/// When queued work is done. A missing wait shows under one of the first three, what waits for work
/// that is asked for later under one of the last two.
enum class Order {
  eager,         // as soon as what it waits for is done
  lazy,          // as late as the calls allow: only when something waits for it
  newest_first,  // so late, but then all of the newest stream first
  blocking,  // before the call that asks for it returns, a graph's nodes one after the other: as
             // under compute-sanitizer, or where a kernel's first launch has to load it
  queues     // as soon as may be, but streams share some hardware queues, dealt in turn, all
             // copies have one more, and a graph's nodes go to any queue: what stands in a queue
             // holds up all behind it until it is done
};

constexpr int kQueues = 8;  // what CUDA_DEVICE_MAX_CONNECTIONS is where it is not set

/// Forgets failures, counts and queued work, sets the number of GPUs to 1 (or to what the
/// environment says: HASHEP_STANDIN_GPUS) and the order; `queues` is of Order::queues. Throws where
/// memory, streams, events, graphs or handles are still alive: they have leaked; and where memory
/// was freed while held. Without a `reset` the order is what HASHEP_STANDIN_ORDER says, or eager.
void reset(Order order, int queues = kQueues);

void set_gpu_count(int count);

/// Whether a GPU can reach another one's memory, which it can after `reset`.
void set_peer_access(bool possible);

/// Memory whose address work was given.
struct MemoryRange {
  const void* data = nullptr;
  int64_t bytes = 0;
};
using MemoryRanges = std::vector<MemoryRange>;

/// Queues `work` on a stream, as a kernel's launch does: recorded instead while it is captured.
/// What stands in for kernels calls this. `memory`: what its arguments point to, which a graph
/// holds. Returns what a launch returns: a cudaError_t as int.
int enqueue(DeviceStream stream, std::function<void()> work, MemoryRanges memory = {});

/// True when the work is done. Called again and again until then, never after; must not block.
using Poll = std::function<bool()>;
/// Called when the work begins, at each replay of a graph anew. What it returns is one run of it.
using Work = std::function<Poll()>;

/// The same for work that others must do something for: a kernel that waits for a flag, messages.
/// While its poll says no, its stream and who waits for it stand still. The polls of all streams
/// are called by later calls (and by sched_yield, so that a host that polls for something else lets
/// its GPU go on; not while it blocks); calls that wait repeat them. With Order::lazy other streams
/// than the one asked for come to their turn after some calls in vain. Once work has thrown, such
/// work ends as it is. So it does, with cudaErrorLaunchTimeout and a line on stderr, where a call
/// waits for it and for long nothing is done: what it waits for stands behind it, or is not asked
/// for at all.
int enqueue_polled(DeviceStream stream, Work work, MemoryRanges memory = {});

/// The call of this name ("cudaMalloc", "cublasLtMatmul", "kernel" for `enqueue`) fails with `code`
/// (a cudaError_t, cublasStatus_t or ncclResult_t) when it is made for the n-th time from now, n
/// from 0.
void fail(const std::string& call, int code, int64_t n = 0);

/// How often a call of this name was made since `reset`.
int64_t calls(const std::string& call);

/// All names of calls that can be counted and can fail, for loops over them. A name that is none of
/// these is a std::logic_error above, so that no test waits for a call that nobody makes. Names are
/// those of the documentation: "cublasCreate", not "cublasCreate_v2".
const std::vector<std::string>& call_names();

/// What the graph that was instantiated last, which must be alive, is made of.
struct GraphShape {
  int64_t nodes = 0;
  int64_t width = 0;  // of nodes that may be under way at once, the most
  int64_t depth = 0;  // of nodes that come one after the other, the most
  /// Whether all of its work that others must do something for, or wait for, comes one after the
  /// other. Work that does not might stand in each other's way, here and there.
  bool meets_in_one_order = true;
};
GraphShape last_graph();

/// What is alive: bytes of GPU memory and of pinned memory; streams, events, graphs, handles and
/// mappings of other processes' memory, communicators.
struct Alive {
  int64_t device_bytes = 0;
  int64_t pinned_bytes = 0;
  int64_t objects = 0;
};
Alive alive();

/// Memory that was freed while another process had it mapped, which CUDA leaves undefined. Who
/// reads it there finds 0xff.
int64_t freed_while_mapped();

/// Times that memory was to be freed or unmapped while a graph held its address, or NCCL did: CUDA
/// would do it, and a replay would write to whatever comes to stand there. Here it is refused, with
/// a line on stderr, and the memory stays.
int64_t freed_while_held();

/// Work queued and not done, over all streams.
int64_t queued();

}  // namespace hashep::test::standin
