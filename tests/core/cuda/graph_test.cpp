// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/graph.hpp"

#include <cuda_runtime_api.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/cuda/device_buffer.hpp"
#include "core/cuda/stream.hpp"
#include "hashep/error.hpp"
#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using namespace hashep::test;
using standin::Order;

namespace {

void ask(DeviceStream stream, std::string& word, char letter) {
  if (standin::enqueue(stream, [&word, letter] { word += letter; }) != cudaSuccess) {
    throw RunError("the launch failed");
  }
}

/// The stream does what it is asked for at once, so nothing captures it, and nothing is left.
void check_usable(const CudaStream& stream) {
  std::string word;
  ask(stream, word, 'x');
  stream.synchronize();
  CHECK(word == "x");
  CHECK(cudaGetLastError() == cudaSuccess);
}

/// Work on two streams and memory: doubles what is at `in`, adds one on the side, adds both.
struct Work {
  PinnedBuffer in{4};
  PinnedBuffer out{4};
  DeviceBuffer a{4};
  DeviceBuffer b{4};
  CudaStream side;
  CudaEvent forked;
  CudaEvent joined;

  void ask_for(const CudaStream& stream) const {
    copy_async(a.data(), in.data(), 4, stream);
    forked.record(stream);
    side.wait(forked);
    run(side, [to = b.as<int>(), from = a.as<int>()] { *to = *from + 1; });
    joined.record(side);
    run(stream, [to = out.data(), from = a.as<int>()] {
      const int twice = 2 * *from;
      std::memcpy(to, &twice, 4);
    });
    stream.wait(joined);
    run(stream, [to = out.data(), from = b.as<int>()] {
      int sum = 0;
      std::memcpy(&sum, to, 4);
      sum += *from;
      std::memcpy(to, &sum, 4);
    });
  }
  void set(int value) const { std::memcpy(in.data(), &value, 4); }
  int get() const {
    int value = 0;
    std::memcpy(&value, out.data(), 4);
    return value;
  }

 private:
  static void run(DeviceStream stream, std::function<void()> work) {
    REQUIRE(standin::enqueue(stream, std::move(work)) == cudaSuccess);
  }
};

}  // namespace

TEST_CASE("a replay does what its work does, with what is in memory by then") {
  for (const Order order : {Order::eager, Order::lazy}) {
    standin::reset(order);
    const CudaStream stream;
    const Work work;
    work.set(5);
    CudaGraph made(stream, [&] { work.ask_for(stream); });
    const CudaGraph graph(std::move(made));
    CHECK(graph.num_nodes() == 4);
    CHECK(work.get() == -1);  // nothing was done
    for (const int value : {5, 6}) {
      work.set(value);
      graph.launch(stream);
      stream.synchronize();
      CHECK(work.get() == 3 * value + 1);
    }
    work.set(7);
    work.ask_for(stream);
    stream.synchronize();
    CHECK(work.get() == 22);
  }
}

TEST_CASE("events recorded in a graph are recorded by each replay") {
  standin::reset(Order::lazy);
  std::string word;
  const CudaStream stream;
  const CudaEvent begin(CudaEvent::Kind::timing);
  const CudaEvent end(CudaEvent::Kind::timing);
  const CudaGraph graph(stream, [&] {
    begin.record_in_graph(stream);
    for (const char letter : {'a', 'b', 'c'}) ask(stream, word, letter);
    end.record_in_graph(stream);
  });
  CHECK(graph.num_nodes() == 5);
  for (int replay = 0; replay < 2; ++replay) {
    graph.launch(stream);
    CHECK(!microseconds_if_known(begin, end));
    stream.synchronize();
    CHECK(microseconds_between(begin, end) == Approx(3.0));
  }
  CHECK(word == "abcabc");
}

TEST_CASE("work that a graph cannot hold is an error, and the stream goes on") {
  standin::reset(Order::lazy);
  {
    const CudaStream stream;
    const CudaStream other;
    const CudaEvent event;
    const auto capture = [&](const std::function<void()>& work) { CudaGraph(stream, work); };
    CHECK_THROWS_WITH(capture([&] { DeviceBuffer(8); }),
                      ContainsSubstring("cudaMalloc failed with "
                                        "cudaErrorStreamCaptureUnsupported"));
    check_usable(stream);
    CHECK_THROWS_AS(capture([&] { stream.synchronize(); }), RunError);
    check_usable(stream);
    event.record(other);
    CHECK_THROWS_WITH(capture([&] { stream.wait(event); }),
                      ContainsSubstring("cudaErrorStreamCaptureIsolation"));
    check_usable(stream);
    // A stream that is not waited for again; nobody notices until the end.
    CHECK_THROWS_WITH(capture([&] {
                        event.record(stream);
                        other.wait(event);
                        std::string word;
                        ask(other, word, 'a');
                      }),
                      ContainsSubstring("cudaErrorStreamCaptureUnjoined"));
    check_usable(stream);
    check_usable(other);
    // A failure that the work does not notice.
    CHECK_THROWS_WITH(capture([&] { CHECK(cudaDeviceSynchronize() != cudaSuccess); }),
                      ContainsSubstring("cudaErrorStreamCaptureInvalidated"));
    check_usable(stream);
  }
  CHECK(standin::alive().objects == 0);
}

TEST_CASE("what work throws ends the capture and is thrown on") {
  standin::reset(Order::lazy);
  {
    std::string word;
    const CudaStream stream;
    CHECK_THROWS_WITH(CudaGraph(stream,
                                [&] {
                                  ask(stream, word, 'a');
                                  throw std::out_of_range("thrown on purpose");
                                }),
                      "thrown on purpose");
    check_usable(stream);
    CHECK(word.empty());
  }
  CHECK(standin::alive().objects == 0);
}
