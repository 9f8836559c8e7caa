// SPDX-License-Identifier: Apache-2.0
// The stand-in's captures and graphs, through the calls of the runtime alone.
#include "hashep/error.hpp"
#include "tests/standin/handles.hpp"

using namespace hashep;
using namespace hashep::test;
using standin::Order;

namespace {

void begin(cudaStream_t stream) {
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
}

cudaStreamCaptureStatus status_of(cudaStream_t stream) {
  cudaStreamCaptureStatus status{};
  REQUIRE(cudaStreamIsCapturing(stream, &status) == cudaSuccess);
  return status;
}

/// `to` comes after what `from` has been asked for.
void join(cudaStream_t from, cudaStream_t to, cudaEvent_t event) {
  REQUIRE(cudaEventRecord(event, from) == cudaSuccess);
  REQUIRE(cudaStreamWaitEvent(to, event, 0) == cudaSuccess);
}

/// Owns what a capture ends with.
struct Graph {
  explicit Graph(cudaStream_t stream) {
    cudaGraph_t graph = nullptr;
    REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
    REQUIRE(cudaGraphGetNodes(graph, nullptr, &nodes) == cudaSuccess);
    REQUIRE(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
    REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
  }
  Graph(const Graph&) = delete;
  ~Graph() { cudaGraphExecDestroy(exec); }

  cudaGraphExec_t exec = nullptr;
  size_t nodes = 0;
};

cudaError_t end_badly(cudaStream_t stream) {
  cudaGraph_t graph = nullptr;
  const cudaError_t code = cudaStreamEndCapture(stream, &graph);
  CHECK(graph == nullptr);
  CHECK(status_of(stream) == cudaStreamCaptureStatusNone);
  return code;
}

}  // namespace

TEST_CASE("captured work is done by launches alone, in their stream's order") {
  for (const Order order : {Order::eager, Order::lazy}) {
    standin::reset(order);
    Handles handles;
    std::string word;
    const auto stream = handles.stream();
    const auto other = handles.stream();
    begin(stream);
    CHECK(status_of(stream) == cudaStreamCaptureStatusActive);
    write(stream, word, 'a');
    write(stream, word, 'b');
    CHECK(status_of(other) == cudaStreamCaptureStatusNone);
    const Graph graph(stream);
    CHECK(graph.nodes == 2);
    CHECK(status_of(stream) == cudaStreamCaptureStatusNone);
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
    CHECK(word.empty());
    write(other, word, '(');
    REQUIRE(cudaGraphLaunch(graph.exec, other) == cudaSuccess);
    write(other, word, ')');
    REQUIRE(cudaGraphLaunch(graph.exec, stream) == cudaSuccess);  // after its last launch
    REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
    CHECK(word == (order == Order::eager ? "(ab)ab" : "(abab"));
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    CHECK(word.size() == 6);
  }
}

TEST_CASE("a stream joins a capture by an event and is joined back; lazy replays show its order") {
  standin::reset(Order::lazy);
  Handles handles;
  std::string word;
  const auto stream = handles.stream();
  const auto fork = handles.stream();
  const auto event = handles.event();
  begin(stream);
  write(stream, word, 'a');
  join(stream, fork, event);
  CHECK(status_of(fork) == cudaStreamCaptureStatusActive);
  write(stream, word, 'b');
  write(fork, word, 'c');  // no order to b
  join(fork, stream, event);
  write(stream, word, 'd');
  {
    const Graph graph(stream);
    CHECK(graph.nodes == 4);
    CHECK(status_of(fork) == cudaStreamCaptureStatusNone);
    REQUIRE(cudaGraphLaunch(graph.exec, stream) == cudaSuccess);
  }  // a graph may go while it is on its way
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(word == "acbd");
}

TEST_CASE("a capture with a stream that is not joined back is none") {
  standin::reset(Order::eager);
  Handles handles;
  std::string word;
  const auto stream = handles.stream();
  const auto fork = handles.stream();
  const auto event = handles.event();
  begin(stream);
  write(stream, word, 'a');
  join(stream, fork, event);
  write(fork, word, 'b');
  CHECK(end_badly(stream) == cudaErrorStreamCaptureUnjoined);
  CHECK(status_of(fork) == cudaStreamCaptureStatusNone);
  CHECK(write(fork, word, 'c') == cudaSuccess);
  CHECK(word == "c");
}

TEST_CASE("a capture ends where it began") {
  standin::reset(Order::eager);
  Handles handles;
  const auto stream = handles.stream();
  const auto fork = handles.stream();
  const auto event = handles.event();
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorIllegalState);
  begin(stream);
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaErrorIllegalState);
  join(stream, fork, event);
  CHECK(cudaStreamEndCapture(fork, &graph) == cudaErrorStreamCaptureUnmatched);
  CHECK(end_badly(stream) == cudaErrorStreamCaptureInvalidated);
}

TEST_CASE("calls that no capture may hold break it") {
  using Call = cudaError_t (*)(cudaStream_t, cudaEvent_t, void* gpu, void* pinned);
  const std::pair<const char*, Call> calls[] = {
      {"cudaMalloc",
       [](cudaStream_t, cudaEvent_t, void*, void*) {
         void* data = nullptr;
         return cudaMalloc(&data, 8);
       }},
      {"cudaFree", [](cudaStream_t, cudaEvent_t, void* gpu, void*) { return cudaFree(gpu); }},
      {"cudaHostAlloc",
       [](cudaStream_t, cudaEvent_t, void*, void*) {
         void* data = nullptr;
         return cudaHostAlloc(&data, 8, cudaHostAllocDefault);
       }},
      {"cudaFreeHost",
       [](cudaStream_t, cudaEvent_t, void*, void* pinned) { return cudaFreeHost(pinned); }},
      {"cudaStreamSynchronize", [](cudaStream_t stream, cudaEvent_t, void*,
                                   void*) { return cudaStreamSynchronize(stream); }},
      {"cudaStreamQuery",
       [](cudaStream_t stream, cudaEvent_t, void*, void*) { return cudaStreamQuery(stream); }},
      {"cudaEventSynchronize",
       [](cudaStream_t, cudaEvent_t event, void*, void*) { return cudaEventSynchronize(event); }},
      {"cudaEventQuery",
       [](cudaStream_t, cudaEvent_t event, void*, void*) { return cudaEventQuery(event); }},
      {"cudaDeviceSynchronize",
       [](cudaStream_t, cudaEvent_t, void*, void*) { return cudaDeviceSynchronize(); }},
  };
  for (const auto& [name, call] : calls) {
    INFO(name);
    standin::reset(Order::lazy);
    Handles handles;
    std::string word;
    const auto stream = handles.stream();
    const auto event = handles.event();
    const auto gpu = handles.gpu<int>(1);
    const auto pinned = handles.pinned<int>(1);
    begin(stream);
    REQUIRE(cudaEventRecord(event, stream) == cudaSuccess);
    CHECK(call(stream, event, gpu.data(), pinned.data()) == cudaErrorStreamCaptureUnsupported);
    CHECK(status_of(stream) == cudaStreamCaptureStatusInvalidated);
    CHECK(write(stream, word, 'a') == cudaErrorStreamCaptureInvalidated);
    CHECK(end_badly(stream) == cudaErrorStreamCaptureInvalidated);
    CHECK(standin::alive().device_bytes == 4);
    CHECK(standin::alive().pinned_bytes == 4);
    CHECK(write(stream, word, 'b') == cudaSuccess);
    CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
    CHECK(word == "b");
  }
}

TEST_CASE("a capture knows only its own events") {
  standin::reset(Order::eager);
  Handles handles;
  const auto stream = handles.stream();
  const auto other = handles.stream();
  const auto outside = handles.event();
  const auto inside = handles.event();
  SECTION("it cannot wait for one recorded outside of it") {
    REQUIRE(cudaEventRecord(outside, other) == cudaSuccess);
    begin(stream);
    CHECK(cudaStreamWaitEvent(stream, outside, 0) == cudaErrorStreamCaptureIsolation);
    CHECK(end_badly(stream) == cudaErrorStreamCaptureInvalidated);
  }
  SECTION("its own are of no use when it is over") {
    begin(stream);
    REQUIRE(cudaEventRecord(inside, stream) == cudaSuccess);
    const Graph graph(stream);
    CHECK(graph.nodes == 0);
    CHECK(cudaStreamWaitEvent(other, inside, 0) == cudaErrorCapturedEvent);
    CHECK(cudaEventQuery(inside) == cudaErrorCapturedEvent);
    REQUIRE(cudaEventRecord(inside, other) == cudaSuccess);
    CHECK(cudaEventQuery(inside) == cudaSuccess);
  }
  SECTION("two captures cannot meet") {
    begin(stream);
    begin(other);
    REQUIRE(cudaEventRecord(inside, stream) == cudaSuccess);
    CHECK(cudaStreamWaitEvent(other, inside, 0) == cudaErrorStreamCaptureMerge);
    CHECK(end_badly(stream) == cudaErrorStreamCaptureInvalidated);
    CHECK(end_badly(other) == cudaErrorStreamCaptureInvalidated);
  }
}

TEST_CASE("each replay records the events that were captured as external") {
  standin::reset(Order::lazy);
  Handles handles;
  std::string word;
  const auto stream = handles.stream();
  const auto first = handles.event(cudaEventDefault);
  const auto last = handles.event(cudaEventDefault);
  CHECK(cudaEventRecordWithFlags(first, stream, cudaEventRecordExternal) == cudaErrorInvalidValue);
  begin(stream);
  REQUIRE(cudaEventRecordWithFlags(first, stream, cudaEventRecordExternal) == cudaSuccess);
  write(stream, word, 'a');
  write(stream, word, 'b');
  REQUIRE(cudaEventRecordWithFlags(last, stream, cudaEventRecordExternal) == cudaSuccess);
  const Graph graph(stream);
  CHECK(graph.nodes == 4);
  for (int replay = 0; replay < 2; ++replay) {
    REQUIRE(cudaGraphLaunch(graph.exec, stream) == cudaSuccess);
    float milliseconds = 0.0f;
    // Until the replay comes to it an event may be as it was, and is not ready to be measured.
    CHECK(cudaEventQuery(last) == cudaSuccess);
    CHECK(cudaEventElapsedTime(&milliseconds, first, last) ==
          (replay == 0 ? cudaErrorInvalidResourceHandle : cudaErrorNotReady));
    CHECK(cudaEventSynchronize(last) == cudaSuccess);
    CHECK(cudaEventElapsedTime(&milliseconds, first, last) == cudaSuccess);
    CHECK(milliseconds == 2e-3f);
  }
  CHECK(word == "abab");
}

TEST_CASE("a stream that is destroyed while it is captured ends or breaks the capture") {
  standin::reset(Order::eager);
  Handles handles;
  const auto stream = handles.stream();
  const auto event = handles.event();
  cudaStream_t gone = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&gone, cudaStreamNonBlocking) == cudaSuccess);
  SECTION("one that joined") {
    begin(stream);
    join(stream, gone, event);
    CHECK(cudaStreamDestroy(gone) == cudaSuccess);
    CHECK(end_badly(stream) == cudaErrorStreamCaptureInvalidated);
  }
  SECTION("its origin") {
    begin(gone);
    join(gone, stream, event);
    CHECK(cudaStreamDestroy(gone) == cudaSuccess);
    CHECK(status_of(stream) == cudaStreamCaptureStatusNone);
  }
}

TEST_CASE("copies in a graph move what is in memory when it is launched") {
  standin::reset(Order::eager);
  Handles handles;
  const auto stream = handles.stream();
  const auto gpu = handles.gpu<int>(1);
  const auto pinned = handles.pinned<int>(1);
  std::vector<int> pageable = {3};
  begin(stream);
  CHECK(cudaMemcpyAsync(gpu.data(), pageable.data(), 4, cudaMemcpyDefault, stream) ==
        cudaErrorInvalidValue);
  REQUIRE(cudaMemcpyAsync(gpu.data(), pinned.data(), 4, cudaMemcpyDefault, stream) == cudaSuccess);
  const Graph graph(stream);
  for (const int value : {4, 5}) {
    pinned[0] = value;
    CHECK(gpu[0] != value);
    REQUIRE(cudaGraphLaunch(graph.exec, stream) == cudaSuccess);
    CHECK(gpu[0] == value);
  }
}

TEST_CASE("memory whose address a graph has cannot be freed before the graph") {
  standin::reset(Order::lazy);
  Handles handles;
  const auto stream = handles.stream();
  void* filled = nullptr;
  void* copied = nullptr;
  void* pinned = nullptr;
  void* read = nullptr;
  REQUIRE(cudaMalloc(&filled, 64) == cudaSuccess);
  REQUIRE(cudaMalloc(&copied, 64) == cudaSuccess);
  REQUIRE(cudaMalloc(&read, 64) == cudaSuccess);
  REQUIRE(cudaHostAlloc(&pinned, 64, cudaHostAllocDefault) == cudaSuccess);
  {
    begin(stream);
    REQUIRE(cudaMemsetAsync(static_cast<std::byte*>(filled) + 8, 0, 8, stream) == cudaSuccess);
    REQUIRE(cudaMemcpyAsync(copied, pinned, 64, cudaMemcpyDefault, stream) == cudaSuccess);
    REQUIRE(standin::enqueue({stream}, [] {}, {{read, 1}}) == cudaSuccess);
    const Graph graph(stream);
    CHECK(cudaFree(filled) == cudaErrorInvalidValue);
    CHECK(cudaFree(copied) == cudaErrorInvalidValue);
    CHECK(cudaFree(read) == cudaErrorInvalidValue);
    CHECK(cudaFreeHost(pinned) == cudaErrorInvalidValue);
    CHECK(standin::freed_while_held() == 4);
    CHECK(standin::alive().device_bytes == 3 * 64);
    void* other = nullptr;  // in no graph
    REQUIRE(cudaMalloc(&other, 64) == cudaSuccess);
    CHECK(cudaFree(other) == cudaSuccess);
    CHECK(standin::freed_while_held() == 4);
  }
  CHECK(cudaFree(filled) == cudaSuccess);
  CHECK(cudaFree(copied) == cudaSuccess);
  CHECK(cudaFree(read) == cudaSuccess);
  CHECK(cudaFreeHost(pinned) == cudaSuccess);
  CHECK(standin::freed_while_held() == 4);
  CHECK_THROWS_AS(standin::reset(Order::lazy), RunError);  // handles has a stream, and this
}
