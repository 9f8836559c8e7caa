// SPDX-License-Identifier: Apache-2.0
// The stand-in's streams, events and memory, through the calls of the runtime alone.
#include <cuda_runtime_api.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using namespace hashep::test;
using standin::Order;

namespace {

/// Streams and events, given back at the end.
struct Handles {
  std::vector<cudaStream_t> streams;
  std::vector<cudaEvent_t> events;

  cudaStream_t stream() {
    REQUIRE(cudaStreamCreateWithFlags(&streams.emplace_back(), cudaStreamNonBlocking) ==
            cudaSuccess);
    return streams.back();
  }
  cudaEvent_t event(unsigned flags = cudaEventDisableTiming) {
    REQUIRE(cudaEventCreateWithFlags(&events.emplace_back(), flags) == cudaSuccess);
    return events.back();
  }
  Handles() = default;
  Handles(const Handles&) = delete;
  ~Handles() {
    for (cudaStream_t stream : streams) cudaStreamDestroy(stream);
    for (cudaEvent_t event : events) cudaEventDestroy(event);
  }
};

/// Adds a word to a log when it is done.
void log(cudaStream_t stream, std::string& words, char word) {
  REQUIRE(standin::enqueue({stream}, [&words, word] { words += word; }) == cudaSuccess);
}

}  // namespace

TEST_CASE("eager work is done when it is asked for") {
  standin::reset(Order::eager);
  Handles handles;
  std::string words;
  log(handles.stream(), words, 'a');
  CHECK(words == "a");
  CHECK(standin::queued() == 0);
}

TEST_CASE("lazy work is done when its stream is waited for, and no other") {
  standin::reset(Order::lazy);
  Handles handles;
  std::string words;
  const cudaStream_t a = handles.stream();
  const cudaStream_t b = handles.stream();
  log(a, words, 'a');
  log(b, words, 'b');
  CHECK(words.empty());
  CHECK(standin::queued() == 2);
  CHECK(cudaStreamSynchronize(b) == cudaSuccess);
  CHECK(words == "b");
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(words == "ba");
}
