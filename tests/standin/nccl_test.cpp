// SPDX-License-Identifier: Apache-2.0
// The owner of a communicator, on the stand-in's NCCL, and that itself.
#include <cuda_runtime_api.h>
#include <nccl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/cuda/graph.hpp"
#include "tests/standin/nccl.hpp"
#include "tests/standin/nccl_case.hpp"

using namespace hashep;
using namespace hashep::test;
using standin::Order;

namespace {

/// What byte i of the k-th message between two ranks holds; never 0xff.
std::byte payload(int64_t round, int64_t source, int64_t target, int64_t k, int64_t i) {
  const int64_t mixed = round * 31 + source * 17 + target * 7 + k * 5 + i * 3;
  return static_cast<std::byte>(mixed % 251);
}

/// A message in a test: where it stands in a buffer.
struct Place {
  int peer = 0;
  int64_t k = 0;  // its number between the two ranks
  int64_t begin = 0;
  int64_t bytes = 0;
};

/// Random messages between all pairs, the same on all ranks, as rank `rank` sees them.
struct Messages {
  std::vector<Place> sends, receives;
  int64_t send_bytes = 1;
  int64_t receive_bytes = 1;

  Messages(int64_t round, int rank, int size) {
    std::mt19937 random(static_cast<unsigned>(round));
    for (int source = 0; source < size; ++source) {
      for (int target = 0; target < size; ++target) {
        const auto count = static_cast<int64_t>(random() % 4);
        for (int64_t k = 0; k < count; ++k) {
          // Now and then beyond what MPI sends without the receiver's consent.
          const auto bytes = static_cast<int64_t>(1 + random() % (k == 2 ? 200'000 : 300));
          if (source == rank) add(sends, send_bytes, {target, k, 0, bytes});
          if (target == rank) add(receives, receive_bytes, {source, k, 0, bytes});
        }
      }
    }
  }

 private:
  static void add(std::vector<Place>& places, int64_t& used, Place place) {
    place.begin = used;
    places.push_back(place);
    used += place.bytes + 1;  // a byte between that stays untouched
  }
};

void fill(DeviceBuffer& buffer, const Messages& messages, int64_t round, int rank) {
  for (const Place& send : messages.sends) {
    for (int64_t i = 0; i < send.bytes; ++i) {
      buffer.data()[send.begin + i] = payload(round, rank, send.peer, send.k, i);
    }
  }
}

/// Whether the messages are there, and nothing beside them.
bool has_come(const std::byte* data, const Messages& messages, int64_t round, int rank) {
  std::vector<std::byte> want(messages.receive_bytes, kUntouched);
  for (const Place& receive : messages.receives) {
    for (int64_t i = 0; i < receive.bytes; ++i) {
      want[receive.begin + i] = payload(round, receive.peer, rank, receive.k, i);
    }
  }
  return std::equal(want.begin(), want.end(), data);
}

void exchange(NcclCommunicator& nccl, const Messages& messages, const DeviceBuffer& from,
              const DeviceBuffer& to, DeviceStream stream) {
  nccl.exchange([&] {
    for (const Place& send : messages.sends) {
      nccl.send(from.data() + send.begin, send.bytes, send.peer, stream);
    }
    for (const Place& receive : messages.receives) {
      nccl.receive(to.data() + receive.begin, receive.bytes, receive.peer, stream);
    }
  });
}

}  // namespace

TEST_CASE("messages of all sizes come to their places") {
  for (const Order order : kOrders) {
    standin::reset(order);
    {
      Ranks ranks;
      const CudaStream stream;
      NcclCommunicator nccl(ranks.comm, ranks.watch);
      CHECK(nccl.rank() == ranks.comm.rank());
      CHECK(nccl.size() == ranks.comm.size());
      int64_t received = 0;
      for (int64_t round = 0; round < 20; ++round) {
        const Messages messages(round, nccl.rank(), nccl.size());
        DeviceBuffer from(messages.send_bytes);
        const DeviceBuffer to(messages.receive_bytes);
        fill(from, messages, round, nccl.rank());
        exchange(nccl, messages, from, to, stream);
        stream.synchronize();
        CHECK(has_come(to.data(), messages, round, nccl.rank()));
        received += messages.receive_bytes;
      }
      CHECK(received > 20 * 100);
      CHECK(standin::nccl_groups() > 10);
    }
    check_nothing_left();
  }
}

TEST_CASE("exchanges are in the order of their streams") {
  for (const Order order : kOrders) {
    standin::reset(order);
    {
      Ranks ranks;
      const CudaStream stream;
      const CudaStream other;
      NcclCommunicator nccl(ranks.comm, ranks.watch);
      const Ring ring;
      // The rank's number goes around twice: over one stream, then the other.
      fill_async(ring.from.data(), nccl.rank() + 1, Ring::kBytes, stream);
      ring.exchange(nccl, stream);
      copy_async(ring.from.data(), ring.to.data(), Ring::kBytes, stream);
      const CudaEvent event;
      event.record(stream);
      other.wait(event);
      ring.exchange(nccl, other);
      wait_for_stream(nccl, ranks.watch, other);
      const int twice_before = (nccl.rank() + 2 * nccl.size() - 2) % nccl.size();
      CHECK(ring.to.data()[0] == static_cast<std::byte>(twice_before + 1));
      CHECK(ring.to.data()[Ring::kBytes - 1] == static_cast<std::byte>(twice_before + 1));

      // A third one that nothing orders after the second.
      const CudaStream loose;
      fill_async(ring.from.data(), 0, 1, other);
      ring.exchange(nccl, other);
      const std::string text = error_of([&] { ring.exchange(nccl, loose); });
      CHECK_THAT(text, ContainsSubstring("ncclGroupEnd failed with code 5: invalid usage, a group "
                                         "has no order"));
      other.synchronize();
    }
    check_nothing_left();
  }
}

TEST_CASE("a captured exchange moves what the memory holds at each launch") {
  for (const Order order : kOrders) {
    standin::reset(order);
    {
      Ranks ranks;
      const CudaStream stream;
      NcclCommunicator nccl(ranks.comm, ranks.watch);
      const Ring ring;
      const DeviceBuffer kept(Ring::kBytes);
      const CudaGraph graph(stream, [&] {
        ring.exchange(nccl, stream);
        copy_async(kept.data(), ring.to.data(), Ring::kBytes, stream);
      });
      CHECK(standin::nccl_groups() == 0);
      for (int launch = 0; launch < 4; ++launch) {
        fill_async(ring.from.data(), 10 * launch + nccl.rank(), Ring::kBytes, stream);
        graph.launch(stream);
        stream.synchronize();
        const int before = (nccl.rank() + nccl.size() - 1) % nccl.size();
        CHECK(kept.data()[7] == static_cast<std::byte>(10 * launch + before));
      }
      CHECK(standin::nccl_groups() == 4);
    }
    check_nothing_left();
  }
}

TEST_CASE("a communicator ends in order, or is aborted while an error unwinds") {
  standin::reset(Order::lazy);
  Ranks ranks;
  const CudaStream stream;
  const Ring ring;
  {
    NcclCommunicator nccl(ranks.comm, ranks.watch);
    ring.exchange(nccl, stream);  // ends with work on its way
  }
  CHECK(standin::queued() == 0);
  CHECK(standin::calls("ncclCommFinalize") == 1);
  CHECK(standin::calls("ncclCommDestroy") == 1);
  CHECK(standin::calls("ncclCommAbort") == 0);

  CHECK_THROWS_AS(
      [&] {
        NcclCommunicator nccl(ranks.comm, ranks.watch);
        ring.exchange(nccl, stream);
        throw RunError("some other failure");
      }(),
      RunError);
  CHECK(standin::calls("ncclCommFinalize") == 1);
  CHECK(standin::calls("ncclCommAbort") == 1);
  stream.synchronize();
  // A group that is left by an error is closed.
  NcclCommunicator nccl(ranks.comm, ranks.watch);
  CHECK_THROWS_AS(nccl.exchange([] { throw RunError("in the midst"); }), RunError);
  ring.exchange(nccl, stream);
  stream.synchronize();
}

TEST_CASE("a communicator whose end does not come is aborted") {
  standin::reset(Order::eager);
  LastingRanks& ranks = lasting_ranks();
  const CudaStream stream;
  const Ring ring;
  auto nccl = std::make_unique<NcclCommunicator>(ranks.comm, ranks.watch);
  // NCCL waits until no graph holds an exchange.
  auto graph = std::make_unique<CudaGraph>(stream, [&] { ring.exchange(*nccl, stream); });
  nccl.reset();
  CHECK(standin::calls("ncclCommFinalize") == 1);
  CHECK(standin::calls("ncclCommDestroy") == 0);
  CHECK(standin::calls("ncclCommAbort") == 1);
  CHECK(standin::alive().objects == 3);  // the stream, the graph and the communicator
  graph.reset();
  while (standin::alive().objects > 1) std::this_thread::yield();
}

TEST_CASE("an aborted communicator is of no use, and abort does not hang") {
  standin::reset(Order::lazy);
  {
    Ranks ranks;
    const CudaStream stream;
    const Ring ring;
    NcclCommunicator nccl(ranks.comm, ranks.watch);
    ring.exchange(nccl, stream);
    nccl.begin_abort();
    CHECK(nccl.end_abort());
    nccl.begin_abort();
    CHECK(nccl.end_abort());
    CHECK_NOTHROW(nccl.check());
    CHECK_THAT(error_of([&] { ring.exchange(nccl, stream); }), ContainsSubstring("was aborted"));
    stream.synchronize();  // what was on its way has ended
    CHECK(standin::calls("ncclCommAbort") == 1);
    NcclCommunicator hanging(ranks.comm, ranks.watch);
    standin::nccl_hang_abort();
    hanging.begin_abort();
    CHECK(!hanging.end_abort());
    CHECK(standin::calls("ncclCommAbort") == 2);
  }
  CHECK(standin::alive().objects == 1);  // what NCCL does not give back
  CHECK_THROWS_AS(standin::reset(Order::lazy), RunError);
}

TEST_CASE("an abort ends when no graph holds an exchange any more") {
  standin::reset(Order::lazy);
  {
    Ranks ranks;
    const CudaStream stream;
    NcclCommunicator nccl(ranks.comm, ranks.watch);
    void* memory = nullptr;
    REQUIRE(cudaMalloc(&memory, 2) == cudaSuccess);
    auto* const bytes = static_cast<std::byte*>(memory);
    const auto meet = [&] {
      nccl.exchange([&] {
        nccl.send(bytes, 1, nccl.rank(), stream);
        nccl.receive(bytes + 1, 1, nccl.rank(), stream);
      });
    };
    auto graph = std::make_unique<CudaGraph>(stream, meet);
    std::atomic<bool> is_back = false;
    std::thread aborting([&is_back, comm = nccl.get()] {
      ncclCommAbort(comm);
      is_back = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    CHECK(!is_back);
    graph.reset();
    CHECK(cudaFree(memory) == cudaErrorInvalidValue);  // it may still be sent or received
    aborting.join();
    CHECK(cudaFree(memory) == cudaSuccess);
    CHECK(standin::freed_while_held() == 1);
    CHECK(standin::alive().objects == 1);  // the stream
  }
  CHECK_THROWS_AS(standin::reset(Order::lazy), RunError);
}

TEST_CASE("a communicator that the environment makes a blocking one does as well") {
  standin::reset(Order::lazy);
  setenv("NCCL_COMM_BLOCKING", "1", 1);
  {
    Ranks ranks;
    const CudaStream stream;
    NcclCommunicator nccl(ranks.comm, ranks.watch);
    const Ring ring;
    fill_async(ring.from.data(), nccl.rank() + 1, Ring::kBytes, stream);
    ring.exchange(nccl, stream);
    wait_for_stream(nccl, ranks.watch, stream);
    const int before = (nccl.rank() + nccl.size() - 1) % nccl.size();
    CHECK(ring.to.data()[0] == static_cast<std::byte>(before + 1));
  }
  unsetenv("NCCL_COMM_BLOCKING");
  CHECK(standin::calls("ncclCommDestroy") == 1);
  CHECK(standin::calls("ncclCommAbort") == 0);
  check_nothing_left();
}

TEST_CASE("ranks that share a GPU are hosts of their own to NCCL") {
  unsetenv("NCCL_HOSTID");
  separate_nccl_hosts(3);
  char host[256] = {};
  REQUIRE(gethostname(host, sizeof(host) - 1) == 0);
  CHECK(std::getenv("NCCL_HOSTID") == std::string(host) + "-3");
  separate_nccl_hosts(4);  // what is set stays
  CHECK(std::getenv("NCCL_HOSTID") == std::string(host) + "-3");
  unsetenv("NCCL_HOSTID");
  CHECK(nccl_version() == "NCCL " + std::to_string(NCCL_MAJOR) + "." + std::to_string(NCCL_MINOR) +
                              "." + std::to_string(NCCL_PATCH));
}
