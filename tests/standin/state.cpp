// SPDX-License-Identifier: Apache-2.0
#include "tests/standin/state.hpp"

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "hashep/error.hpp"

namespace hashep::test::standin {
namespace {

void require_known(const std::string& call) {
  const auto& names = call_names();
  if (std::find(names.begin(), names.end(), call) == names.end()) {
    throw std::logic_error("the stand-in has no call " + call);
  }
}

cudaError_t ask_for(cudaStream_t stream, GraphNode node) {
  CUstream_st* found = find_stream(stream);
  if (found == nullptr) return cudaErrorInvalidResourceHandle;
  if (found->capture != nullptr) return capture_node(*found, std::move(node));
  if (!may_use(*found, node.workspace)) return cudaErrorInvalidValue;
  push_work(*found, node.engine, std::move(node.work));
  note_use(*found, node.workspace);
  return state().order == Order::blocking ? state().work_error : cudaSuccess;
}

/// For the counts of calls: ncclCommAbort comes from a thread of its own.
std::mutex& calls_mutex() {
  static std::mutex mutex;
  return mutex;
}

bool any_overlaps(const MemoryRanges& ranges, const MemoryRange& range) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const MemoryRange& other) { return overlap(other, range); });
}

}  // namespace

std::vector<State::Failure> State::failures_from_environment() {
  const auto planned = failure_from_environment("HASHEP_STANDIN_FAIL");
  if (!planned) return {};
  require_known(planned->what);
  return {{planned->what, planned->at, planned->code}};
}

State& state() {
  static State instance;
  return instance;
}

void reset(Order order, int queues) {
  const Alive left = alive();
  const int64_t freed = state().freed_while_held;
  state() = State{};
  state().order = order;
  state().queues.assign(queues, {});
  if (left.device_bytes != 0 || left.pinned_bytes != 0 || left.objects != 0) {
    throw RunError("the stand-in was left with " + std::to_string(left.device_bytes) +
                   " bytes of GPU memory, " + std::to_string(left.pinned_bytes) +
                   " bytes of pinned memory and " + std::to_string(left.objects) +
                   " streams, events, graphs, handles and mappings");
  }
  if (freed != 0) {
    throw RunError("memory that graphs or NCCL held was to be freed " + std::to_string(freed) +
                   " times");
  }
}

void set_gpu_count(int count) {
  state().gpu_count = count;
}

void set_peer_access(bool possible) {
  state().peer_access = possible;
}

int enqueue(DeviceStream stream, std::function<void()> work, MemoryRanges memory) {
  return cuda_call("kernel",
                   [&] { return ask(stream.handle, std::move(work), nullptr, std::move(memory)); });
}

int enqueue_polled(DeviceStream stream, Work work, MemoryRanges memory) {
  return cuda_call("kernel", [&] {
    return ask_polled(stream.handle, std::move(work), nullptr, std::move(memory));
  });
}

void fail(const std::string& call, int code, int64_t n) {
  state().failures.push_back({call, calls(call) + n, code});
}

int64_t calls(const std::string& call) {
  require_known(call);
  const std::lock_guard lock(calls_mutex());
  const auto found = state().calls.find(call);
  return found == state().calls.end() ? 0 : found->second;
}

Alive alive() {
  const State& now = state();
  const auto streams = std::count_if(now.streams.all().begin(), now.streams.all().end(),
                                     [](const auto& stream) { return !stream->destroyed; });
  const size_t others = now.events.all().size() + now.graphs.all().size() +
                        now.graph_execs.all().size() + now.blas_objects.all().size();
  const auto communicators =
      std::count_if(now.communicators.begin(), now.communicators.end(),
                    [](const auto& communicator) { return !communicator->is_gone; });
  return {now.memory.allocated(Place::gpu), now.memory.allocated(Place::pinned),
          streams + static_cast<int64_t>(others) + now.memory.open_count() + communicators};
}

int64_t freed_while_mapped() {
  return state().memory.freed_while_mapped();
}

int64_t freed_while_held() {
  return state().freed_while_held;
}

int64_t queued() {
  int64_t sum = 0;
  for (const auto& stream : state().streams.all()) sum += stream->asked - stream->done;
  return sum;
}

std::optional<int> count_call(const std::string& call) {
  require_known(call);
  const std::lock_guard lock(calls_mutex());
  const int64_t number = state().calls[call]++;
  for (const State::Failure& failure : state().failures) {
    if (failure.call == call && failure.at == number) return failure.code;
  }
  return std::nullopt;
}

cudaError_t record_error(cudaError_t code) {
  if (code != cudaSuccess) state().last_error = code;
  return code;
}

CUstream_st* find_stream(cudaStream_t handle) {
  CUstream_st* found = state().streams.find(handle);
  return found == nullptr || found->destroyed ? nullptr : found;
}

cudaError_t ask(cudaStream_t stream, std::function<void()> work, const void* workspace,
                MemoryRanges memory) {
  return ask_for(
      stream,
      {.work = at_once(std::move(work)), .workspace = workspace, .memory = std::move(memory)});
}

cudaError_t ask_polled(cudaStream_t stream, Work work, const void* workspace, MemoryRanges memory) {
  return ask_for(stream, {.work = std::move(work),
                          .workspace = workspace,
                          .memory = std::move(memory),
                          .is_polled = true});
}

cudaError_t ask_copy(cudaStream_t stream, std::function<void()> work, MemoryRanges memory) {
  return ask_for(
      stream,
      {.work = at_once(std::move(work)), .memory = std::move(memory), .engine = Engine::copy});
}

bool overlap(const MemoryRange& a, const MemoryRange& b) {
  const auto first = reinterpret_cast<uintptr_t>(a.data);
  const auto second = reinterpret_cast<uintptr_t>(b.data);
  return a.bytes > 0 && b.bytes > 0 && first < second + static_cast<uintptr_t>(b.bytes) &&
         second < first + static_cast<uintptr_t>(a.bytes);
}

bool CommunicatorHold::holds(const MemoryRange& range) const {
  if (is_gone) return false;
  const auto overlaps = [&](const auto& entry) { return overlap(entry.second, range); };
  return std::any_of(registered.begin(), registered.end(), overlaps) ||
         (is_aborting && any_overlaps(captured, range));
}

bool is_held(const void* data, const char* call) {
  const MemoryRange block{data, state().memory.bytes_of(data)};
  const auto has_it = [&](const auto& graph) {
    return std::any_of(graph->nodes->begin(), graph->nodes->end(),
                       [&](const GraphNode& node) { return any_overlaps(node.memory, block); });
  };
  const auto& graphs = state().graph_execs.all();
  const auto& communicators = state().communicators;
  const bool by_graph = std::any_of(graphs.begin(), graphs.end(), has_it);
  const bool by_nccl = std::any_of(communicators.begin(), communicators.end(),
                                   [&](const auto& hold) { return hold->holds(block); });
  if (!by_graph && !by_nccl) return false;
  std::fprintf(stderr, "stand-in: %s: %lld bytes of memory that %s still holds\n", call,
               static_cast<long long>(block.bytes), by_graph ? "a graph" : "NCCL");
  ++state().freed_while_held;
  return true;
}

}  // namespace hashep::test::standin
