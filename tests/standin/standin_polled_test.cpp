// SPDX-License-Identifier: Apache-2.0
// The stand-in's work that others must do something for, through the calls of the runtime alone.
#include <sched.h>

#include <stdexcept>

#include "tests/standin/handles.hpp"

using namespace hashep;
using namespace hashep::test;
using standin::Order;

namespace {

constexpr Order kOrders[] = {Order::eager, Order::lazy};

/// A flag that work waits for, and how it was looked at.
struct Gate {
  bool open = false;
  int begun = 0;
  int looks = 0;
  int looks_after = 0;  // at a run that was done

  int ask(cudaStream_t stream) {
    return standin::enqueue_polled({stream}, [this] {
      ++begun;
      return [this, over = false]() mutable {
        ++looks;
        looks_after += over ? 1 : 0;
        over = open;
        return over;
      };
    });
  }
};

/// A captured sequence.
class Graph {
 public:
  template <typename Capture>
  Graph(cudaStream_t stream, Capture&& capture) {
    REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    capture();
    cudaGraph_t graph = nullptr;
    REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
    REQUIRE(cudaGraphInstantiate(&exec_, graph, 0) == cudaSuccess);
    REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() { cudaGraphExecDestroy(exec_); }

  void launch(cudaStream_t stream) const { REQUIRE(cudaGraphLaunch(exec_, stream) == cudaSuccess); }

 private:
  cudaGraphExec_t exec_ = nullptr;
};

/// Asks until the answer is another than that it is not ready, at most `times`.
cudaError_t query(cudaStream_t stream, int times = 3) {
  cudaError_t code = cudaErrorNotReady;
  for (int i = 0; i < times && code == cudaErrorNotReady; ++i) code = cudaStreamQuery(stream);
  return code;
}

cudaError_t query(cudaEvent_t event) {
  cudaError_t code = cudaErrorNotReady;
  for (int i = 0; i < 3 && code == cudaErrorNotReady; ++i) code = cudaEventQuery(event);
  return code;
}

}  // namespace

TEST_CASE("work that is not done stops its stream and who waits for it, and no call") {
  for (const Order order : kOrders) {
    standin::reset(order);
    Handles handles;
    std::string word;
    Gate gate;
    const cudaStream_t stuck = handles.stream();
    const cudaStream_t waiting = handles.stream();
    const cudaStream_t free = handles.stream();
    const cudaEvent_t before = handles.event();
    const cudaEvent_t after = handles.event();
    write(stuck, word, 'a');
    REQUIRE(cudaEventRecord(before, stuck) == cudaSuccess);
    REQUIRE(gate.ask(stuck) == cudaSuccess);
    write(stuck, word, 'c');
    REQUIRE(cudaEventRecord(after, stuck) == cudaSuccess);
    REQUIRE(cudaStreamWaitEvent(waiting, after, 0) == cudaSuccess);
    write(waiting, word, 'd');
    write(free, word, 'b');
    CHECK(query(before) == cudaSuccess);
    CHECK(cudaStreamSynchronize(free) == cudaSuccess);
    CHECK(word == "ab");
    CHECK(query(after) == cudaErrorNotReady);
    CHECK(query(stuck) == cudaErrorNotReady);
    CHECK(query(waiting) == cudaErrorNotReady);
    CHECK(word == "ab");
    CHECK(gate.begun == 1);
    gate.open = true;
    CHECK(query(waiting) == cudaSuccess);
    CHECK(query(stuck) == cudaSuccess);
    CHECK(word == "abcd");
    CHECK(gate.looks > 1);
    CHECK(gate.begun == 1);
    CHECK(gate.looks_after == 0);
  }
}

TEST_CASE("eager work goes on at any later call that asks for something") {
  standin::reset(Order::eager);
  Handles handles;
  std::string word;
  Gate gate;
  const cudaStream_t stuck = handles.stream();
  const cudaStream_t other = handles.stream();
  gate.ask(stuck);
  write(stuck, word, 'a');
  CHECK(standin::queued() == 2);
  gate.open = true;
  SECTION("work") {
    write(other, word, 'b');
  }
  SECTION("a record") {
    REQUIRE(cudaEventRecord(handles.event(), other) == cudaSuccess);
  }
  SECTION("a query of another stream that is stuck") {
    Gate closed;
    closed.ask(other);
    CHECK(cudaStreamQuery(other) == cudaErrorNotReady);
    closed.open = true;
    CHECK(cudaStreamQuery(other) == cudaSuccess);
  }
  SECTION("the host's yielding") {
    sched_yield();
  }
  CHECK(standin::queued() == 0);
  CHECK(word.substr(0, 1) == "a");
}

TEST_CASE("lazy work goes on where a host yields again and again, not at once") {
  standin::reset(Order::lazy);
  Handles handles;
  std::string word;
  write(handles.stream(), word, 'a');
  sched_yield();
  CHECK(word.empty());
  for (int i = 0; i < 1000; ++i) sched_yield();
  CHECK(word == "a");
}

TEST_CASE("what one stream is stuck for another does, though nobody waits for that") {
  using Call = cudaError_t (*)(cudaStream_t);
  const Call calls[] = {
      [](cudaStream_t stuck) { return cudaStreamSynchronize(stuck); },
      [](cudaStream_t stuck) { return query(stuck, 1000); },
      [](cudaStream_t) {
        void* data = nullptr;
        REQUIRE(cudaMalloc(&data, 1) == cudaSuccess);
        return cudaFree(data);
      },
  };
  for (const Order order : kOrders) {
    for (const Call call : calls) {
      standin::reset(order);
      Handles handles;
      Gate gate;
      const cudaStream_t stuck = handles.stream();
      const cudaStream_t other = handles.stream();
      gate.ask(stuck);
      standin::enqueue({other}, [&gate] { gate.open = true; });
      CHECK(call(stuck) == cudaSuccess);
      CHECK(gate.open);
      CHECK(cudaDeviceSynchronize() == cudaSuccess);
      CHECK(standin::queued() == 0);
    }
  }
}

TEST_CASE("a replay stops where it is stuck, goes on from there, and begins anew") {
  for (const Order order : kOrders) {
    standin::reset(order);
    Handles handles;
    std::string word;
    Gate gate;
    const cudaStream_t stream = handles.stream();
    const cudaStream_t fork = handles.stream();
    const cudaEvent_t forked = handles.event();
    const cudaEvent_t joined = handles.event();
    const cudaEvent_t passed = handles.event();
    const Graph graph(stream, [&] {
      write(stream, word, 'a');
      REQUIRE(cudaEventRecord(forked, stream) == cudaSuccess);
      REQUIRE(cudaStreamWaitEvent(fork, forked, 0) == cudaSuccess);
      write(stream, word, 'b');
      REQUIRE(gate.ask(fork) == cudaSuccess);  // captured last: with Order::lazy its turn is first
      REQUIRE(cudaEventRecordWithFlags(passed, fork, cudaEventRecordExternal) == cudaSuccess);
      write(fork, word, 'c');
      REQUIRE(cudaEventRecord(joined, fork) == cudaSuccess);
      REQUIRE(cudaStreamWaitEvent(stream, joined, 0) == cudaSuccess);
      write(stream, word, 'd');
    });
    CHECK(gate.begun == 0);
    for (int replay = 1; replay <= 3; ++replay) {
      word.clear();
      gate.open = false;
      graph.launch(stream);
      write(stream, word, 'e');
      CHECK(query(stream) == cudaErrorNotReady);
      // A lazy replay leaves its events as they were until it comes to them.
      CHECK(query(passed) == (order == Order::eager ? cudaErrorNotReady : cudaSuccess));
      CHECK(word == "ab");
      CHECK(gate.begun == replay);
      gate.open = true;
      CHECK(query(passed) == cudaSuccess);
      CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
      CHECK(word == "abcde");
    }
    CHECK(gate.begun == 3);
    CHECK(gate.looks_after == 0);
  }
}

TEST_CASE("launches of one graph on two streams do not overtake each other") {
  standin::reset(Order::lazy);
  Handles handles;
  std::string word;
  Gate gate;
  const cudaStream_t first = handles.stream();
  const cudaStream_t second = handles.stream();
  const Graph graph(first, [&] {
    REQUIRE(gate.ask(first) == cudaSuccess);
    write(first, word, 'a');
  });
  graph.launch(first);
  write(first, word, '1');
  graph.launch(second);
  CHECK(query(second) == cudaErrorNotReady);
  CHECK(gate.begun == 1);
  gate.open = true;
  CHECK(cudaStreamSynchronize(second) == cudaSuccess);
  CHECK(gate.begun == 2);
  CHECK(word == "aa");
}

TEST_CASE("polled work is a kernel's launch to counts and failures, and its errors are work's") {
  standin::reset(Order::lazy);
  Handles handles;
  Gate gate;
  const cudaStream_t stream = handles.stream();
  const cudaStream_t other = handles.stream();
  standin::fail("kernel", cudaErrorLaunchFailure, 1);
  CHECK(gate.ask(stream) == cudaSuccess);
  CHECK(gate.ask(stream) == cudaErrorLaunchFailure);
  CHECK(standin::calls("kernel") == 2);
  CHECK(gate.ask(nullptr) == cudaErrorInvalidResourceHandle);
  CHECK(standin::queued() == 1);
  standin::enqueue_polled({other},
                          []() -> standin::Poll { throw std::runtime_error("on purpose"); });
  void* memory = nullptr;
  REQUIRE(cudaMalloc(&memory, 1) == cudaSuccess);
  CHECK(cudaStreamSynchronize(other) == cudaErrorLaunchFailure);
  // Nothing that is stuck now will ever be done: it ends, so that who gives up is not kept.
  CHECK(cudaFree(memory) == cudaErrorLaunchFailure);
  CHECK(gate.begun == 1);
  CHECK_FALSE(gate.open);
  CHECK(standin::queued() == 0);
}
