// SPDX-License-Identifier: Apache-2.0
#include "tests/standin/state.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "core/error.hpp"

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
  state() = State{};
  state().order = order;
  state().queues.assign(static_cast<size_t>(queues), {});
  if (left.device_bytes != 0 || left.pinned_bytes != 0 || left.objects != 0) {
    throw RunError("the stand-in was left with " + std::to_string(left.device_bytes) +
                   " bytes of GPU memory, " + std::to_string(left.pinned_bytes) +
                   " bytes of pinned memory and " + std::to_string(left.objects) +
                   " streams, events, graphs, handles and mappings");
  }
}

void set_gpu_count(int count) {
  state().gpu_count = count;
}

void set_peer_access(bool possible) {
  state().peer_access = possible;
}

int enqueue(DeviceStream stream, std::function<void()> work) {
  return cuda_call("kernel", [&] { return ask(stream.handle, std::move(work)); });
}

int enqueue_polled(DeviceStream stream, Work work) {
  return cuda_call("kernel", [&] { return ask_polled(stream.handle, std::move(work)); });
}

void fail(const std::string& call, int code, int64_t n) {
  state().failures.push_back({call, calls(call) + n, code});
}

int64_t calls(const std::string& call) {
  require_known(call);
  const auto found = state().calls.find(call);
  return found == state().calls.end() ? 0 : found->second;
}

Alive alive() {
  const State& now = state();
  const auto streams = std::count_if(now.streams.all().begin(), now.streams.all().end(),
                                     [](const auto& stream) { return !stream->destroyed; });
  const size_t others = now.events.all().size() + now.graphs.all().size() +
                        now.graph_execs.all().size() + now.blas_objects.all().size();
  return {
      now.memory.allocated(Place::gpu), now.memory.allocated(Place::pinned),
      streams + static_cast<int64_t>(others) + now.memory.open_count() + now.nccl_communicators};
}

int64_t freed_while_mapped() {
  return state().memory.freed_while_mapped();
}

int64_t queued() {
  int64_t sum = 0;
  for (const auto& stream : state().streams.all()) sum += stream->asked - stream->done;
  return sum;
}

std::optional<int> count_call(const std::string& call) {
  require_known(call);
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

cudaError_t ask(cudaStream_t stream, std::function<void()> work, const void* workspace) {
  return ask_for(stream, {.work = at_once(std::move(work)), .workspace = workspace});
}

cudaError_t ask_polled(cudaStream_t stream, Work work, const void* workspace) {
  return ask_for(stream, {.work = std::move(work), .workspace = workspace, .is_polled = true});
}

cudaError_t ask_copy(cudaStream_t stream, std::function<void()> work) {
  return ask_for(stream, {.work = at_once(std::move(work)), .engine = Engine::copy});
}

}  // namespace hashep::test::standin
