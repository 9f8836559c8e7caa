// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/cuda/graph_cache.hpp"

#include <array>
#include <functional>

#include "core/cuda/check_cuda.hpp"
#include "core/cuda/stream.hpp"
#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

/// Work of one kernel that adds to a counter.
std::function<void()> counting(const CudaStream& stream, int& count) {
  return [&] {
    check_cuda(static_cast<cudaError_t>(standin::enqueue(stream, [&count] { ++count; })), "kernel");
  };
}

TEST_CASE("the cache keeps the shapes used last, and no more than it may") {
  standin::reset(standin::Order::eager);
  const CudaStream stream;
  GraphCache cache(GraphMode::on);
  int count = 0;
  const auto work = counting(stream, count);
  const int64_t before = standin::alive().objects;
  for (int64_t shape = 0; shape < GraphCache::kMaxEntries; ++shape) {
    REQUIRE(cache.get(std::array{shape, int64_t{7}}, stream, work) != nullptr);
  }
  CHECK(standin::alive().objects - before == GraphCache::kMaxEntries);
  const auto* const first = cache.get(std::array{int64_t{0}, int64_t{7}}, stream, work);
  CHECK(cache.num_captured() == GraphCache::kMaxEntries);
  cache.get(std::array{int64_t{99}, int64_t{7}}, stream, work);  // takes the place of shape 1
  CHECK(standin::alive().objects - before == GraphCache::kMaxEntries);
  CHECK(cache.get(std::array{int64_t{0}, int64_t{7}}, stream, work) == first);
  CHECK(cache.num_captured() == GraphCache::kMaxEntries + 1);
  cache.get(std::array{int64_t{1}, int64_t{7}}, stream, work);
  CHECK(cache.num_captured() == GraphCache::kMaxEntries + 2);
  CHECK(count == 0);  // captured, not done
  first->launch(stream);
  first->launch(stream);
  stream.synchronize();
  CHECK(count == 2);
}

TEST_CASE("graphs are captured from the second sight of a shape on, or never") {
  standin::reset(standin::Order::eager);
  const CudaStream stream;
  int count = 0;
  const auto work = counting(stream, count);
  const std::array<int64_t, 2> shape = {3, 4};
  GraphCache off(GraphMode::off);
  GraphCache automatic(GraphMode::automatic);
  for (int i = 0; i < 3; ++i) {
    CHECK(off.get(shape, stream, work) == nullptr);
    CHECK((automatic.get(shape, stream, work) != nullptr) == (i > 0));
    CHECK(automatic.get(std::array{int64_t{3}, int64_t{10 + i}}, stream, work) == nullptr);
  }
  CHECK(automatic.num_captured() == 1);
  automatic.drop_graphs();  // the shape has been met
  CHECK(automatic.get(shape, stream, work) != nullptr);
  CHECK(automatic.num_captured() == 2);
}

}  // namespace
}  // namespace hashep::test
