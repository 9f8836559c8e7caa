// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/stream.hpp"

#include <cuda_runtime_api.h>

#include <string>
#include <utility>
#include <vector>

#include "core/cuda/device_buffer.hpp"
#include "hashep/error.hpp"
#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using namespace hashep::test;
using standin::Order;

namespace {

void ask(DeviceStream stream, std::string& word, char letter) {
  REQUIRE(standin::enqueue(stream, [&word, letter] { word += letter; }) == cudaSuccess);
}

}  // namespace

TEST_CASE("copies and fills go in the stream's order") {
  for (const Order order : {Order::eager, Order::lazy}) {
    standin::reset(order);
    const CudaStream stream;
    const PinnedBuffer from(8);
    const PinnedBuffer back(8);
    const DeviceBuffer gpu(8);
    for (int i = 0; i < 8; ++i) from.data()[i] = std::byte(i);
    copy_async(gpu.data(), from.data(), 8, stream);
    fill_async(gpu.data() + 2, 0x55, 3, stream);
    copy_async(back.data(), gpu.data(), 8, stream);
    copy_async(gpu.data(), nullptr, 0, stream);
    fill_async(nullptr, 0, 0, stream);
    CHECK(standin::calls("cudaMemcpyAsync") == 2);
    CHECK(standin::calls("cudaMemsetAsync") == 1);
    stream.synchronize();
    const std::vector<std::byte> got(back.data(), back.data() + 8);
    const unsigned char expected[] = {0, 1, 0x55, 0x55, 0x55, 5, 6, 7};
    for (size_t i = 0; i < 8; ++i) CHECK(got[i] == std::byte{expected[i]});
  }
}

TEST_CASE("a stream waits for what an event stood for when it was told to") {
  standin::reset(Order::lazy);
  std::string word;
  const CudaStream first;
  CudaStream moved;
  const CudaStream second(std::move(moved));
  const CudaEvent event;
  second.wait(event);  // never recorded
  ask(first, word, 'a');
  event.record(first);
  ask(first, word, 'b');
  second.wait(event);
  ask(second, word, 'c');
  second.synchronize();
  CHECK(word == "ac");
  first.synchronize();
  CHECK(word == "acb");
}

TEST_CASE("an event tells whether it is done, and leaves no error on the record") {
  standin::reset(Order::lazy);
  std::string word;
  const CudaStream stream;
  CudaEvent made;
  const CudaEvent event(std::move(made));
  CHECK(event.is_done());
  ask(stream, word, 'a');
  event.record(stream);
  CHECK_FALSE(event.is_done());
  CHECK(word.empty());
  // What checks a kernel's launch asks for the last error: "not ready" must not be it.
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(event.is_done());
  CHECK(word == "a");
  standin::fail("cudaEventQuery", cudaErrorLaunchFailure);
  CHECK_THROWS_WITH(event.is_done(), ContainsSubstring("cudaEventQuery failed with "
                                                       "cudaErrorLaunchFailure"));
}

TEST_CASE("timing events measure what is between them") {
  standin::reset(Order::lazy);
  std::string word;
  const CudaStream stream;
  const CudaEvent begin(CudaEvent::Kind::timing);
  const CudaEvent end(CudaEvent::Kind::timing);
  CHECK(!microseconds_if_known(begin, end));
  begin.record_in_graph(stream);  // outside of a capture: a record like any other
  for (const char letter : {'a', 'b', 'c', 'd'}) ask(stream, word, letter);
  end.record_in_graph(stream);
  CHECK_THROWS_WITH(microseconds_between(begin, end), ContainsSubstring("cudaErrorNotReady"));
  cudaGetLastError();
  CHECK(!microseconds_if_known(begin, end));
  CHECK(cudaGetLastError() == cudaSuccess);  // the next check of a launch finds nothing
  stream.synchronize();
  CHECK(microseconds_between(begin, end) == Approx(4.0));
  CHECK(microseconds_if_known(begin, end).value() == Approx(4.0));
  standin::fail("cudaEventElapsedTime", cudaErrorLaunchFailure);
  CHECK_THROWS_AS(microseconds_if_known(begin, end), RunError);
  const CudaEvent untimed;
  untimed.record(stream);
  stream.synchronize();
  CHECK_THROWS_AS(microseconds_between(begin, untimed), RunError);
}

TEST_CASE("a stream that goes still does what it was asked for") {
  standin::reset(Order::lazy);
  std::string word;
  const CudaEvent event;
  {
    const CudaStream stream;
    ask(stream, word, 'a');
    event.record(stream);
  }
  CHECK(word.empty());
  const CudaStream other;
  other.wait(event);
  other.synchronize();
  CHECK(word == "a");
}
