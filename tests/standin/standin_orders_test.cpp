// SPDX-License-Identifier: Apache-2.0
// The stand-in's orders in which work waits for more than it must: launches that block, hardware
// queues that streams share, one queue for copies. Through the calls of the runtime alone.
#include <algorithm>
#include <set>
#include <string>

#include "tests/standin/handles.hpp"

using namespace hashep;
using namespace hashep::test;
using standin::Order;

namespace {

/// Asks for work that waits until `open`.
int wait_for(cudaStream_t stream, const bool& open) {
  return standin::enqueue_polled({stream}, [&open] { return [&open] { return open; }; });
}

int set(cudaStream_t stream, bool& open) {
  return standin::enqueue({stream}, [&open] { open = true; });
}

/// Asks for a copy within GPU memory.
void copy(Handles& handles, cudaStream_t stream) {
  const auto words = handles.gpu<int>(2);
  REQUIRE(cudaMemcpyAsync(&words[1], words.data(), sizeof(int), cudaMemcpyDefault, stream) ==
          cudaSuccess);
}

/// `to` comes after what `from` has been asked for.
void join(Handles& handles, cudaStream_t from, cudaStream_t to) {
  const cudaEvent_t event = handles.event();
  REQUIRE(cudaEventRecord(event, from) == cudaSuccess);
  REQUIRE(cudaStreamWaitEvent(to, event, 0) == cudaSuccess);
}

/// Replays of `count` branches of one letter each between an 'a' and a 'z'.
std::set<std::string> replays_of_branches(int count, int replays) {
  Handles handles;
  std::string word;
  const cudaStream_t stream = handles.stream();
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  write(stream, word, 'a');
  std::vector<cudaStream_t> branches;
  for (int i = 0; i < count; ++i) {
    branches.push_back(handles.stream());
    join(handles, stream, branches.back());
  }
  for (int i = 0; i < count; ++i) {
    write(branches[i], word, static_cast<char>('b' + i));
    join(handles, branches[i], stream);
  }
  write(stream, word, 'z');
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  REQUIRE(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
  const standin::GraphShape shape = standin::last_graph();
  CHECK(shape.nodes == count + 2);
  CHECK(shape.width == count);
  CHECK(shape.depth == 3);
  std::set<std::string> words;
  for (int i = 0; i < replays; ++i) {
    word.clear();
    REQUIRE(cudaGraphLaunch(exec, stream) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
    words.insert(word);
  }
  REQUIRE(cudaGraphExecDestroy(exec) == cudaSuccess);
  REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
  return words;
}

}  // namespace

TEST_CASE("a launch that blocks returns when its work is done") {
  standin::reset(Order::blocking);
  Handles handles;
  std::string word;
  bool open = true;
  const cudaStream_t a = handles.stream();
  const cudaStream_t b = handles.stream();
  write(a, word, '1');
  join(handles, a, b);
  CHECK(wait_for(b, open) == cudaSuccess);
  write(b, word, '2');
  copy(handles, a);
  CHECK(word == "12");
  CHECK(standin::queued() == 0);
}

TEST_CASE("a launch that blocks for what is asked for later ends as an error, and all after it") {
  standin::reset(Order::blocking);
  Handles handles;
  bool open = false;
  const cudaStream_t a = handles.stream();
  const cudaStream_t b = handles.stream();
  CHECK(wait_for(a, open) == cudaErrorLaunchTimeout);
  CHECK(set(b, open) == cudaErrorLaunchTimeout);
  CHECK(cudaStreamSynchronize(a) == cudaErrorLaunchTimeout);
  CHECK_FALSE(open);
}

TEST_CASE("what stands in a hardware queue holds up all behind it, whatever its stream") {
  for (const int queues : {1, 2, 3}) {
    standin::reset(Order::queues, queues);
    INFO(queues);
    Handles handles;
    bool open = false;
    const cudaStream_t waiting = handles.stream();
    handles.stream();
    const cudaStream_t setting = handles.stream();
    CHECK(wait_for(waiting, open) == cudaSuccess);
    CHECK(set(setting, open) == cudaSuccess);
    // Of two queues the third stream has the first one's.
    CHECK(open == (queues == 3));
    CHECK(cudaStreamSynchronize(waiting) == (queues == 3 ? cudaSuccess : cudaErrorLaunchTimeout));
  }
}

TEST_CASE("a wait for an event holds up its queue too") {
  for (const int queues : {2, 3}) {
    standin::reset(Order::queues, queues);
    INFO(queues);
    Handles handles;
    bool open = false;
    const cudaStream_t waiting = handles.stream();
    const cudaStream_t joined = handles.stream();
    handles.stream();
    const cudaStream_t setting = handles.stream();  // with two queues in that of `joined`
    CHECK(wait_for(waiting, open) == cudaSuccess);
    join(handles, waiting, joined);
    CHECK(set(setting, open) == cudaSuccess);
    CHECK(open == false);
    CHECK(cudaStreamSynchronize(waiting) == cudaErrorLaunchTimeout);
  }
}

TEST_CASE("copies of all streams wait for each other, in the order in which they were asked for") {
  for (const bool is_copy : {false, true}) {
    standin::reset(Order::queues);
    INFO(is_copy);
    Handles handles;
    bool open = false;
    const cudaStream_t waiting = handles.stream();
    const cudaStream_t setting = handles.stream();
    CHECK(wait_for(waiting, open) == cudaSuccess);
    copy(handles, waiting);
    if (is_copy) copy(handles, setting);
    CHECK(set(setting, open) == cudaSuccess);
    CHECK(open == !is_copy);
    CHECK(cudaStreamSynchronize(setting) == (is_copy ? cudaErrorLaunchTimeout : cudaSuccess));
  }
}

TEST_CASE("a replay's branches stand in any order that the graph allows") {
  const auto all_orders_of_three = [] {
    std::set<std::string> words;
    std::string middle = "bcd";
    do {
      words.insert("a" + middle + "z");
    } while (std::next_permutation(middle.begin(), middle.end()));
    return words;
  }();
  standin::reset(Order::blocking);
  CHECK(replays_of_branches(3, 60) == all_orders_of_three);
  for (const int queues : {1, 2}) {
    standin::reset(Order::queues, queues);
    CHECK(replays_of_branches(3, 60) == all_orders_of_three);
  }
}

TEST_CASE("branches that wait for each other may stand in one queue, and are told") {
  standin::reset(Order::queues, 1);
  Handles handles;
  bool open = false;
  const cudaStream_t stream = handles.stream();
  const cudaStream_t fork = handles.stream();
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  join(handles, stream, fork);
  REQUIRE(wait_for(stream, open) == cudaSuccess);
  REQUIRE(wait_for(fork, open) == cudaSuccess);
  REQUIRE(set(fork, open) == cudaSuccess);
  join(handles, fork, stream);
  cudaGraph_t graph = nullptr;
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  cudaGraphExec_t exec = nullptr;
  REQUIRE(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
  CHECK_FALSE(standin::last_graph().meets_in_one_order);
  CHECK(standin::last_graph().width == 2);
  REQUIRE(cudaGraphLaunch(exec, stream) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorLaunchTimeout);
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
}
