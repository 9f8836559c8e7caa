// SPDX-License-Identifier: Apache-2.0
// What goes wrong in exchanges by NCCL, on its stand-in.
#include <nccl.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "comm/nccl_buffer.hpp"
#include "tests/standin/nccl.hpp"
#include "tests/standin/nccl_case.hpp"

using namespace hashep;
using namespace hashep::test;
using standin::Order;

TEST_CASE("whichever call fails, the error names it and the rank, and nothing is left") {
  const std::pair<const char*, const char*> calls[] = {
      {"ncclGetVersion", "ncclGetVersion"},
      {"ncclCommInitRankConfig", "ncclCommInitRankConfig"},
      {"ncclCommGetAsyncError", "ncclCommGetAsyncError"},
      {"ncclGroupStart", "ncclGroupStart"},
      {"ncclGroupEnd", "ncclGroupEnd"},
      {"ncclSend", "ncclSend to rank "},
      {"ncclRecv", "ncclRecv from rank "},
      {"ncclMemAlloc", "ncclMemAlloc of 64 B"},
      {"ncclCommRegister", "ncclCommRegister"},
      {"ncclCommDeregister", nullptr},  // ends without an error
      {"ncclMemFree", nullptr},
      {"ncclCommFinalize", nullptr},  // ends without an error
      {"ncclCommDestroy", nullptr},
  };
  for (const auto& [call, named] : calls) {
    for (const int64_t n : {0, 1}) {
      standin::reset(Order::lazy);
      std::string text;
      {
        Ranks ranks;
        ranks.watch.at({Phase::dispatch, 3, 1});
        const CudaStream stream;
        const Ring ring;
        standin::fail(call, ncclSystemError, n);
        text = error_of([&] {
          static_cast<void>(nccl_version());
          NcclCommunicator nccl(ranks.comm, ranks.watch);
          NcclBuffer buffer(nccl);
          buffer.reserve(Ring::kBytes);
          for (int i = 0; i < 2; ++i) ring.exchange(nccl, stream);
          wait_for_stream(nccl, ranks.watch, stream);
        });
        if (text.empty()) {
          // The second of what is called once.
          CHECK((named == nullptr || standin::calls(call) == 1));
          if (named == nullptr && n == 0) CHECK(standin::calls(call) == 1);
        } else {
          INFO(text);
          CHECK_THAT(text, ContainsSubstring(named));
          CHECK_THAT(text, ContainsSubstring(
                               "failed with code 2: unhandled system error, a failure on purpose"));
          if (std::string(call) != "ncclGetVersion") {
            CHECK_THAT(text,
                       Catch::Matchers::StartsWith("rank " + std::to_string(ranks.comm.rank()) +
                                                   " in dispatch, layer 1, step 3: "));
          }
        }
      }
      check_nothing_left();
    }
  }
}

TEST_CASE("an id that is not to be had fails on rank 0") {
  standin::reset(Order::eager);
  Ranks ranks;
  if (ranks.comm.size() > 1) return;  // the others would wait for it
  standin::fail("ncclGetUniqueId", ncclSystemError);
  CHECK_THAT(error_of([&] { NcclCommunicator nccl(ranks.comm, ranks.watch); }),
             ContainsSubstring("ncclGetUniqueId failed"));
}

TEST_CASE("an error that comes later ends the wait for the stream") {
  for (const Order order : kOrders) {
    standin::reset(order);
    {
      Ranks ranks;
      ranks.watch.at({Phase::combine, 2, 0});
      const CudaStream stream;
      const Ring ring;
      standin::nccl_async_error(ncclRemoteError, 1);
      const std::string text = error_of([&] {
        NcclCommunicator nccl(ranks.comm, ranks.watch);
        ring.exchange(nccl, stream);
        wait_for_stream(nccl, ranks.watch, stream);
        ring.exchange(nccl, stream);
        wait_for_stream(nccl, ranks.watch, stream);
        FAIL_CHECK("the second exchange cannot be done");
      });
      CHECK_THAT(text, Catch::Matchers::StartsWith("rank " + std::to_string(ranks.comm.rank()) +
                                                   " in combine, layer 0, step 2: "));
      CHECK_THAT(text, ContainsSubstring("failed with code 6: remote process exited"));
      CHECK(standin::calls("ncclCommAbort") == 1);
      stream.synchronize();  // aborted work ends
    }
    check_nothing_left();
  }
}

TEST_CASE("a wait for a group that never completes is given up") {
  for (const Order order : kOrders) {
    standin::reset(order);
    {
      LastingRanks& ranks = lasting_ranks();
      ranks.watch.at({Phase::dispatch, 3, 1});
      const CudaStream stream;
      const Ring ring;
      standin::nccl_never_complete(1);
      const std::string text = error_of([&] {
        NcclCommunicator nccl(ranks.comm, ranks.watch);
        for (int i = 0; i < 3; ++i) ring.exchange(nccl, stream);
        wait_for_stream(nccl, ranks.watch, stream);
      });
      CHECK_THAT(text, ContainsSubstring("in dispatch, layer 1, step 3: no progress for 1 s in the "
                                         "test") ||
                           Catch::Matchers::EndsWith("reports"));
      stream.synchronize();
      CHECK(standin::queued() == 0);
    }
    check_nothing_left();
  }
}

TEST_CASE("a rank that does not come to an exchange is named") {
  for (const Order order : kOrders) {
    standin::reset(order);
    LastingRanks& ranks = lasting_ranks();
    if (ranks.comm.size() == 1) return;
    const int late = ranks.comm.size() - 1;
    ranks.watch.at({Phase::dispatch, 3, 1});
    const CudaStream stream;
    const Ring ring;
    fill_async(ring.to.data(), 0, Ring::kBytes, stream);
    std::string text;
    {
      auto nccl = std::make_unique<NcclCommunicator>(ranks.comm, ranks.watch);
      if (ranks.comm.rank() == late) {
        // Long enough for the others to give up.
        std::this_thread::sleep_for(std::chrono::seconds(4));
      } else {
        text = error_of([&] {
          const std::unique_ptr<NcclCommunicator> mine = std::move(nccl);
          // All wait for the late rank, as for a layer's dispatch.
          mine->exchange([&] {
            mine->send(ring.from.data(), Ring::kBytes, late, stream);
            mine->receive(ring.to.data(), Ring::kBytes, late, stream);
          });
          wait_for_stream(*mine, ranks.watch, stream);
        });
      }
    }
    stream.synchronize();
    // Nobody finds the others at the end: all abort.
    CHECK(standin::calls("ncclCommAbort") == 1);
    if (ranks.comm.rank() == late) continue;
    CHECK(ring.to.data()[0] == kUntouched);  // what is to be received is void once a group begins
    CHECK(!text.empty());
    if (text.ends_with("reports")) continue;
    const size_t missing = text.find("no answer from");
    CHECK(missing != std::string::npos);
    CHECK_THAT(text.substr(std::min(missing, text.size())),
               ContainsSubstring("rank " + std::to_string(late)));
  }
}

TEST_CASE("messages of unequal size at both ends are an error of the stream") {
  for (const int64_t received : {Ring::kBytes - 1, Ring::kBytes + 1}) {
    standin::reset(Order::lazy);
    {
      Ranks ranks;
      const CudaStream stream;
      const Ring ring{DeviceBuffer(Ring::kBytes), DeviceBuffer(Ring::kBytes + 1)};
      NcclCommunicator nccl(ranks.comm, ranks.watch);
      ring.exchange(nccl, stream, Ring::kBytes, received);
      CHECK_THROWS_AS(stream.synchronize(), RunError);
    }
    CHECK(standin::calls("ncclCommAbort") == 1);
    check_nothing_left();
  }
}

TEST_CASE("messages that NCCL must not be asked for are refused") {
  standin::reset(Order::eager);
  {
    Ranks ranks;
    const CudaStream stream;
    const CudaStream other;
    const Ring ring;
    std::vector<std::byte> host(Ring::kBytes);
    const auto refused = [&](auto&& messages) {
      return error_of([&] {
        NcclCommunicator nccl(ranks.comm, ranks.watch);
        nccl.exchange([&] { messages(nccl); });
      });
    };
    CHECK_THAT(refused([&](auto& nccl) { nccl.send(host.data(), 1, 0, stream); }),
               ContainsSubstring("outside of GPU memory"));
    CHECK_THAT(refused([&](auto& nccl) { nccl.send(ring.from.data(), 1, nccl.size(), stream); }),
               ContainsSubstring("no such peer"));
    CHECK_THAT(refused([&](auto& nccl) { nccl.send(ring.from.data(), 1, -1, stream); }),
               ContainsSubstring("no such peer"));
    CHECK_THAT(refused([&](auto& nccl) { nccl.send(ring.from.data(), -1, 0, stream); }),
               ContainsSubstring("bytes to send = -1"));
    CHECK_THAT(refused([&](auto& nccl) {
                 nccl.receive(ring.to.data(), 8, 0, stream);
                 nccl.receive(ring.to.data() + 7, 8, 0, stream);
               }),
               ContainsSubstring("overlap"));
    CHECK_THAT(refused([&](auto& nccl) {
                 nccl.send(ring.from.data(), 8, 0, stream);
                 nccl.receive(ring.to.data(), 8, 0, other);
               }),
               ContainsSubstring("several communicators or streams"));
    // Sends may share memory.
    const std::string text = error_of([&] {
      NcclCommunicator nccl(ranks.comm, ranks.watch);
      nccl.exchange([&] {
        for (int peer = 0; peer < nccl.size(); ++peer) {
          nccl.send(ring.from.data(), 8, peer, stream);
          nccl.receive(ring.to.data() + 8 * peer, 8, peer, stream);
        }
      });
      CHECK_THROWS_AS(nccl.send(ring.from.data(), 8, 0, stream), RunError);  // outside of a group
      stream.synchronize();
    });
    CHECK(text.empty());
  }
  check_nothing_left();
}
