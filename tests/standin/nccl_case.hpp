// SPDX-License-Identifier: Apache-2.0
// What tests of exchanges by the stand-in's NCCL share.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "comm/nccl_communicator.hpp"
#include "core/cuda/device_buffer.hpp"
#include "core/cuda/stream.hpp"
#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/ranks.hpp"

namespace hashep::test {

inline constexpr standin::Order kOrders[] = {standin::Order::eager, standin::Order::lazy};
inline constexpr std::byte kUntouched{0xff};  // memory that nothing was written to

/// Communicators that stay until MPI has ended, where a wait is given up: what it leaves pending
/// must not be freed.
struct LastingRanks {
  Communicator comm{MPI_COMM_WORLD};
  Watch watch{comm, 1.0, nullptr};
};
inline LastingRanks& lasting_ranks() {
  static std::vector<std::unique_ptr<LastingRanks>> all;
  return *all.emplace_back(std::make_unique<LastingRanks>());
}

/// Bytes that go once around: to the next rank, from the one before.
struct Ring {
  static constexpr int64_t kBytes = 64;
  DeviceBuffer from{kBytes};
  DeviceBuffer to{kBytes};

  void exchange(NcclCommunicator& nccl, DeviceStream stream, int64_t sent = kBytes,
                int64_t received = kBytes) const {
    nccl.exchange([&] {
      nccl.send(from.data(), sent, (nccl.rank() + 1) % nccl.size(), stream);
      nccl.receive(to.data(), received, (nccl.rank() + nccl.size() - 1) % nccl.size(), stream);
    });
  }
};

/// Waits for the stream as a step's end does.
inline void wait_for_stream(NcclCommunicator& nccl, Watch& watch, const CudaStream& stream) {
  const CudaEvent event;
  event.record(stream);
  const auto ready = [&] {
    nccl.check();
    return event.is_done();
  };
  watch.wait_until(10, ready, [] { return " in the test"; });
}

/// The text of the error that `work` throws; empty: none.
template <typename Work>
std::string error_of(Work&& work) {
  try {
    work();
  } catch (const RunError& error) {
    return error.what();
  }
  return {};
}

inline void check_nothing_left() {
  CHECK(standin::alive().device_bytes == 0);
  CHECK(standin::alive().objects == 0);
}

}  // namespace hashep::test
