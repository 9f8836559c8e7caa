// SPDX-License-Identifier: Apache-2.0
// The stand-in's streams, events and failures, through the calls of the runtime alone.
#include <stdexcept>

#include "tests/standin/handles.hpp"

using namespace hashep;
using namespace hashep::test;
using standin::Order;

TEST_CASE("eager work is done when it is asked for") {
  standin::reset(Order::eager);
  Handles handles;
  std::string word;
  CHECK(write(handles.stream(), word, 'a') == cudaSuccess);
  CHECK(word == "a");
  CHECK(standin::queued() == 0);
}

TEST_CASE("lazy work is done when its stream is waited for, and no other") {
  standin::reset(Order::lazy);
  Handles handles;
  std::string word;
  const cudaStream_t a = handles.stream();
  const cudaStream_t b = handles.stream();
  write(a, word, 'a');
  write(b, word, 'b');
  CHECK(word.empty());
  CHECK(standin::queued() == 2);
  CHECK(cudaStreamSynchronize(b) == cudaSuccess);
  CHECK(word == "b");
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(word == "ba");
  CHECK(standin::queued() == 0);
}

TEST_CASE("a stream waits for an event's record at the time, and what comes before it") {
  standin::reset(Order::lazy);
  Handles handles;
  std::string word;
  const cudaStream_t a = handles.stream();
  const cudaStream_t b = handles.stream();
  const cudaEvent_t event = handles.event();
  CHECK(cudaStreamWaitEvent(b, event, 0) == cudaSuccess);  // never recorded: no wait
  CHECK(standin::queued() == 0);
  write(a, word, '1');
  CHECK(cudaEventRecord(event, a) == cudaSuccess);
  write(a, word, '2');
  CHECK(cudaStreamWaitEvent(b, event, 0) == cudaSuccess);
  write(b, word, '3');
  CHECK(cudaEventRecord(event, a) == cudaSuccess);  // the wait is for the first record
  CHECK(cudaStreamSynchronize(b) == cudaSuccess);
  CHECK(word == "13");
  CHECK(cudaEventSynchronize(event) == cudaSuccess);
  CHECK(word == "132");
}

TEST_CASE("a lazy event that is asked once is not ready, a second time it is") {
  standin::reset(Order::lazy);
  Handles handles;
  std::string word;
  const cudaStream_t stream = handles.stream();
  const cudaEvent_t event = handles.event();
  CHECK(cudaEventQuery(event) == cudaSuccess);  // never recorded
  write(stream, word, 'a');
  CHECK(cudaEventRecord(event, stream) == cudaSuccess);
  write(stream, word, 'b');
  CHECK(cudaEventQuery(event) == cudaErrorNotReady);
  CHECK(word.empty());
  CHECK(cudaEventQuery(event) == cudaSuccess);
  CHECK(word == "a");
  CHECK(cudaEventQuery(event) == cudaSuccess);
  CHECK(cudaStreamQuery(stream) == cudaErrorNotReady);
  CHECK(cudaStreamQuery(stream) == cudaSuccess);
  CHECK(word == "ab");
}

TEST_CASE("a stream that is destroyed still does what it was asked for") {
  standin::reset(Order::lazy);
  Handles handles;
  std::string word;
  cudaStream_t gone = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&gone, cudaStreamNonBlocking) == cudaSuccess);
  const cudaEvent_t event = handles.event();
  write(gone, word, 'a');
  CHECK(cudaEventRecord(event, gone) == cudaSuccess);
  CHECK(standin::alive().objects == 2);
  CHECK(cudaStreamDestroy(gone) == cudaSuccess);
  CHECK(standin::alive().objects == 1);
  CHECK(word.empty());
  CHECK(write(gone, word, 'b') == cudaErrorInvalidResourceHandle);
  const cudaStream_t other = handles.stream();
  CHECK(cudaStreamWaitEvent(other, event, 0) == cudaSuccess);
  write(other, word, 'c');
  CHECK(cudaStreamSynchronize(other) == cudaSuccess);
  CHECK(word == "ac");
}

TEST_CASE("the time between events counts the work between them") {
  standin::reset(Order::lazy);
  Handles handles;
  std::string word;
  const cudaStream_t stream = handles.stream();
  const cudaEvent_t begin = handles.event(cudaEventDefault);
  const cudaEvent_t end = handles.event(cudaEventDefault);
  float milliseconds = 0.0f;
  CHECK(cudaEventElapsedTime(&milliseconds, begin, end) == cudaErrorInvalidResourceHandle);
  CHECK(cudaEventRecord(begin, stream) == cudaSuccess);
  for (const char letter : {'a', 'b', 'c'}) write(stream, word, letter);
  CHECK(cudaEventRecord(end, stream) == cudaSuccess);
  CHECK(cudaEventElapsedTime(&milliseconds, begin, end) == cudaErrorNotReady);
  CHECK(cudaEventSynchronize(end) == cudaSuccess);
  CHECK(cudaEventElapsedTime(&milliseconds, begin, end) == cudaSuccess);
  CHECK(milliseconds == 3e-3f);
  const cudaEvent_t no_timing = handles.event();
  CHECK(cudaEventRecord(no_timing, stream) == cudaSuccess);
  CHECK(cudaEventElapsedTime(&milliseconds, begin, no_timing) == cudaErrorInvalidResourceHandle);
}

TEST_CASE("a call fails when it is to, is counted, and leaves its error on the record") {
  standin::reset(Order::eager);
  Handles handles;
  std::string word;
  const cudaStream_t stream = handles.stream();
  standin::fail("kernel", cudaErrorLaunchFailure, 1);
  standin::fail("kernel", cudaErrorInvalidConfiguration, 2);
  CHECK(write(stream, word, 'a') == cudaSuccess);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(write(stream, word, 'b') == cudaErrorLaunchFailure);
  CHECK(write(stream, word, 'c') == cudaErrorInvalidConfiguration);
  CHECK(write(stream, word, 'd') == cudaSuccess);
  CHECK(word == "ad");
  CHECK(standin::calls("kernel") == 4);
  CHECK(standin::calls("cudaMalloc") == 0);
  CHECK(cudaPeekAtLastError() == cudaErrorInvalidConfiguration);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK_THROWS_AS(standin::fail("cudaMallok", cudaErrorUnknown), std::logic_error);
  CHECK_THROWS_AS(standin::calls("cudaMallok"), std::logic_error);
}

TEST_CASE("work that throws is the error of all that is asked for later") {
  standin::reset(Order::lazy);
  {
    Handles handles;
    const cudaStream_t stream = handles.stream();
    standin::enqueue({stream}, [] { throw std::runtime_error("thrown on purpose"); });
    CHECK(cudaStreamSynchronize(stream) == cudaErrorLaunchFailure);
    CHECK(cudaStreamSynchronize(stream) == cudaErrorLaunchFailure);
    void* data = nullptr;
    CHECK(cudaMalloc(&data, 1) == cudaErrorLaunchFailure);
    CHECK(cudaGetLastError() == cudaErrorLaunchFailure);
    CHECK(cudaGetLastError() == cudaErrorLaunchFailure);
  }
  CHECK(standin::alive().objects == 0);
}

TEST_CASE("a machine without a GPU says so") {
  standin::reset(Order::eager);
  standin::set_gpu_count(0);
  int number = -1;
  CHECK(cudaGetDeviceCount(&number) == cudaErrorNoDevice);
  CHECK(cudaSetDevice(0) == cudaErrorNoDevice);
  CHECK(cudaDriverGetVersion(&number) == cudaSuccess);
  CHECK(number == 0);
  standin::set_gpu_count(2);
  CHECK(cudaGetDeviceCount(&number) == cudaSuccess);
  CHECK(number == 2);
  CHECK(cudaSetDevice(2) == cudaErrorInvalidDevice);
  CHECK(cudaSetDevice(1) == cudaSuccess);
  CHECK(cudaGetDevice(&number) == cudaSuccess);
  CHECK(number == 1);
}
