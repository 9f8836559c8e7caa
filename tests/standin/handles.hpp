// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {

/// Streams, events and memory made through the calls of the runtime, given back at the end.
class Handles {
 public:
  Handles() = default;
  Handles(const Handles&) = delete;
  Handles& operator=(const Handles&) = delete;
  ~Handles() {
    for (cudaStream_t stream : streams_) cudaStreamDestroy(stream);
    for (cudaEvent_t event : events_) cudaEventDestroy(event);
    for (void* data : gpu_) cudaFree(data);
    for (void* data : pinned_) cudaFreeHost(data);
  }

  cudaStream_t stream() {
    REQUIRE(cudaStreamCreateWithFlags(&streams_.emplace_back(), cudaStreamNonBlocking) ==
            cudaSuccess);
    return streams_.back();
  }
  cudaEvent_t event(unsigned flags = cudaEventDisableTiming) {
    REQUIRE(cudaEventCreateWithFlags(&events_.emplace_back(), flags) == cudaSuccess);
    return events_.back();
  }
  template <typename T>
  std::span<T> gpu(size_t count) {
    REQUIRE(cudaMalloc(&gpu_.emplace_back(), count * sizeof(T)) == cudaSuccess);
    return {static_cast<T*>(gpu_.back()), count};
  }
  /// GPU memory that holds `values`.
  template <typename T>
  std::span<T> gpu(const std::vector<T>& values) {
    const std::span<T> data = gpu<T>(values.size());
    std::copy(values.begin(), values.end(), data.begin());  // the stand-in's is the host's too
    return data;
  }
  template <typename T>
  std::span<T> pinned(size_t count) {
    REQUIRE(cudaHostAlloc(&pinned_.emplace_back(), count * sizeof(T), cudaHostAllocDefault) ==
            cudaSuccess);
    return {static_cast<T*>(pinned_.back()), count};
  }

 private:
  std::vector<cudaStream_t> streams_;
  std::vector<cudaEvent_t> events_;
  std::vector<void*> gpu_;
  std::vector<void*> pinned_;
};

/// Asks a stream to add a letter to a word; returns what the launch returns.
inline int write(cudaStream_t stream, std::string& word, char letter) {
  return standin::enqueue({stream}, [&word, letter] { word += letter; });
}

}  // namespace hashep::test
