// SPDX-License-Identifier: Apache-2.0
// Memory of NCCL's own: registered as long as it is there, at both ends of a message, and left
// alone while an exchange is aborted.
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <algorithm>
#include <memory>

#include "comm/nccl_buffer.hpp"
#include "core/cuda/graph.hpp"
#include "tests/standin/nccl.hpp"
#include "tests/standin/nccl_case.hpp"

using namespace hashep;
using namespace hashep::test;
using standin::Order;

TEST_CASE("memory for messages is NCCL's own and registered as long as it is there") {
  standin::reset(Order::lazy);
  {
    Ranks ranks;
    const CudaStream stream;
    NcclCommunicator nccl(ranks.comm, ranks.watch);
    NcclBuffer from(nccl);
    NcclBuffer to(nccl);
    int64_t waits = 0;
    const BeforeFree before_free = [&] {
      ++waits;
      wait_for_stream(nccl, ranks.watch, stream);
    };
    const int next = (nccl.rank() + 1) % nccl.size();
    const int before = (nccl.rank() + nccl.size() - 1) % nccl.size();
    for (const int64_t bytes : {64, 60, 300}) {
      CHECK(from.reserve(bytes, before_free) == (bytes != 60));
      CHECK(to.reserve(bytes, before_free) == (bytes != 60));
      CHECK(from.capacity() == (bytes == 300 ? grown_bytes(300) : 64));
      fill_async(from.data(), nccl.rank() + 1, bytes, stream);
      nccl.exchange([&] {
        nccl.send(from.data(), bytes, next, stream);
        nccl.receive(to.data(), bytes, before, stream);
      });
      if (bytes != 60) continue;  // on its way while memory grows
      wait_for_stream(nccl, ranks.watch, stream);
      CHECK(to.data()[bytes - 1] == static_cast<std::byte>(before + 1));
    }
    CHECK(waits == 2);
    CHECK(standin::alive().device_bytes == 2 * grown_bytes(300));
    CHECK(standin::calls("ncclMemAlloc") == 4);
    CHECK(standin::calls("ncclCommRegister") == 4);
    CHECK(standin::calls("ncclCommDeregister") == 2);
    // Neither the runtime's to free, nor anyone's while it is registered.
    CHECK(cudaFree(from.data()) == cudaErrorInvalidValue);
    CHECK(standin::freed_while_held() == 0);
    CHECK_THAT(error_of([&] { NcclBuffer(nccl).reserve(int64_t{1} << 40); }),
               ContainsSubstring("ncclMemAlloc of 1024.00 GiB failed with code 1: "));
    wait_for_stream(nccl, ranks.watch, stream);
  }
  CHECK(standin::calls("ncclCommDeregister") == 4);
  CHECK(standin::calls("ncclMemFree") == 4);
  check_nothing_left();
}

TEST_CASE("memory registered at one end of a message alone is an error of the stream") {
  standin::reset(Order::lazy);
  {
    Ranks ranks;
    const CudaStream stream;
    NcclCommunicator nccl(ranks.comm, ranks.watch);
    NcclBuffer from(nccl);
    from.reserve(Ring::kBytes);
    const Ring ring;
    nccl.exchange([&] {
      nccl.send(from.data(), 8, nccl.rank(), stream);
      nccl.receive(ring.to.data(), 8, nccl.rank(), stream);
    });
    CHECK_THROWS_AS(stream.synchronize(), RunError);
  }
  check_nothing_left();
}

TEST_CASE("memory stays while an exchange is aborted, and goes with the communicator") {
  standin::reset(Order::lazy);
  CHECK_THROWS_AS(
      [] {
        Ranks ranks;
        const CudaStream stream;
        NcclCommunicator nccl(ranks.comm, ranks.watch);
        NcclBuffer buffer(nccl);
        buffer.reserve(Ring::kBytes);
        throw RunError("some other failure");
      }(),
      RunError);
  CHECK(standin::calls("ncclCommAbort") == 1);
  CHECK(standin::calls("ncclCommDeregister") == 0);  // which could wait for a lost rank
  CHECK(standin::calls("ncclMemFree") == 1);
  CHECK(standin::freed_while_held() == 0);
  check_nothing_left();
}
