// SPDX-License-Identifier: Apache-2.0
// Ranks that map each other's GPU memory, write into it and set flags there.
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "core/cuda/device_buffer.hpp"
#include "core/cuda/graph.hpp"
#include "core/cuda/ipc.hpp"
#include "core/cuda/stream.hpp"
#include "core/random.hpp"
#include "kernels/rows/peer_flags.hpp"
#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/ranks.hpp"

using namespace hashep;
using namespace hashep::test;
using standin::Order;

namespace {

constexpr Order kOrders[] = {Order::eager, Order::lazy};
constexpr int kMarks = 2;
constexpr int kLanded = 0;
constexpr int kFetched = 1;
constexpr int64_t kBlock = 211;  // values that a rank sends to each other
constexpr int64_t kWord = sizeof(int64_t);
constexpr int64_t kHourNs = int64_t{3600} * 1000000000;
constexpr int64_t kShortNs = 200000000;

/// This rank's shared memory (flags, the exchange's number, an inbox of a block a rank) and all
/// others' as they are mapped here. Making and dropping it is collective.
class PeerMemory {
 public:
  PeerMemory(Ranks& ranks, int64_t deadline_ns)
      : ranks_(ranks),
        size_(ranks.comm.size()),
        own_(kGpuPageBytes),
        addresses_(size_ * int64_t{sizeof(int64_t*)}),
        status_(sizeof(PeerWaitStatus)),
        deadline_ns_(deadline_ns) {
    new (&status()) PeerWaitStatus;
    std::fill_n(own_.as<int64_t>(), inbox_offset(), 0);  // the stand-in's memory is the host's too
    const IpcHandle own = export_memory(own_);
    std::vector<IpcHandle> handles(size_);
    const int bytes = sizeof(IpcHandle);
    check_mpi(
        MPI_Allgather(&own, bytes, MPI_BYTE, handles.data(), bytes, MPI_BYTE, ranks.comm.get()),
        "MPI_Allgather");
    for (int peer = 0; peer < size_; ++peer) {
      mappings_.emplace_back();
      if (peer != ranks.comm.rank()) {
        mappings_.back() = IpcMapping(handles[peer]);
      }
      addresses_.as<int64_t*>()[peer] = words_of(peer);
    }
  }
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;
  ~PeerMemory() {
    mappings_.clear();
    ranks_.watch.barrier();  // memory must outlive its mappings
  }

  int size() const { return size_; }
  int rank() const { return ranks_.comm.rank(); }
  PeerFlags flags() const {
    return {.num_peers = size_,
            .rank = rank(),
            .num_marks = kMarks,
            .own = own_.as<int64_t>(),
            .peers = addresses_.as<int64_t* const>(),
            .exchange = own_.as<int64_t>() + kMarks * size_,
            .status = &status(),
            .deadline_ns = deadline_ns_};
  }
  int64_t* inbox(int peer) const { return words_of(peer) + inbox_offset(); }
  PeerWaitStatus& status() const { return *reinterpret_cast<PeerWaitStatus*>(status_.data()); }

 private:
  int64_t inbox_offset() const { return kMarks * size_ + 1; }
  int64_t* words_of(int peer) const {
    const bool is_own = peer == rank();
    std::byte* const data = is_own ? own_.data() : mappings_[peer].data();
    return reinterpret_cast<int64_t*>(data);
  }

  Ranks& ranks_;
  int size_;
  DeviceBuffer own_;
  std::vector<IpcMapping> mappings_;
  DeviceBuffer addresses_;
  PinnedBuffer status_;
  int64_t deadline_ns_;
};

/// Value i of what `rank` sends in an exchange.
int64_t sent(int rank, int64_t exchange, int64_t i) {
  return static_cast<int64_t>(
      random_bits(static_cast<uint64_t>(rank * 1000 + exchange), static_cast<uint64_t>(i)));
}

/// Some exchanges of one rank.
class Exchanges {
 public:
  Exchanges(const PeerMemory& memory, int64_t count)
      : memory_(memory),
        count_(count),
        input_(count * kBlock * kWord),
        next_(kBlock * kWord),
        output_(count * row_bytes()) {
    for (int64_t exchange = 0; exchange < count; ++exchange) {
      for (int64_t i = 0; i < kBlock; ++i) {
        words(input_)[exchange * kBlock + i] = sent(memory.rank(), exchange, i);
      }
    }
  }

  void bring_input(int64_t exchange, DeviceStream stream) const {
    copy_async(next_.data(), words(input_) + exchange * kBlock, kBlock * kWord, stream);
  }
  /// To all ranks, those at another stream's side at the same time.
  void exchange(const CudaStream& stream, const CudaStream& side) const {
    const PeerFlags flags = memory_.flags();
    step_flags(flags, {.begins = true, .wait = kFetched, .lag = 1}, stream);
    forked_.record(stream);
    side.wait(forked_);
    for (int peer = 0; peer < memory_.size(); ++peer) {
      copy_async(memory_.inbox(peer) + memory_.rank() * kBlock, next_.data(), kBlock * kWord,
                 peer % 2 == 0 ? side : stream);
    }
    joined_.record(side);
    stream.wait(joined_);
    step_flags(flags, {.signal = kLanded, .wait = kLanded}, stream);
    copy_async(landed_.data(), memory_.inbox(memory_.rank()), row_bytes(), stream);
    fill_async(memory_.inbox(memory_.rank()), 0xee, row_bytes(), stream);  // to be written anew
    step_flags(flags, {.signal = kFetched}, stream);
  }
  void take_output(int64_t exchange, DeviceStream stream) const {
    copy_async(output_.data() + exchange * row_bytes(), landed_.data(), row_bytes(), stream);
  }

  int64_t wrong_values() const {
    int64_t wrong = 0;
    for (int64_t exchange = 0; exchange < count_; ++exchange) {
      for (int64_t i = 0; i < memory_.size() * kBlock; ++i) {
        const int64_t want = sent(static_cast<int>(i / kBlock), exchange, i % kBlock);
        wrong += words(output_)[exchange * memory_.size() * kBlock + i] != want;
      }
    }
    return wrong;
  }

 private:
  int64_t row_bytes() const { return memory_.size() * kBlock * kWord; }
  static int64_t* words(const PinnedBuffer& buffer) {
    return reinterpret_cast<int64_t*>(buffer.data());
  }

  const PeerMemory& memory_;
  int64_t count_;
  PinnedBuffer input_;
  DeviceBuffer next_;
  DeviceBuffer landed_{row_bytes()};
  PinnedBuffer output_;
  CudaEvent forked_;
  CudaEvent joined_;
};

/// Ranks are to come at other times, differently each time.
void dawdle(int rank, int64_t exchange) {
  const uint64_t bits = random_bits(77, static_cast<uint64_t>(rank * 1000 + exchange));
  if (bits % 3 == 0) usleep(static_cast<useconds_t>(bits / 3 % 3000));
}

void check_all_given_back() {
  CHECK(standin::alive().device_bytes == 0);
  CHECK(standin::alive().objects == 0);
  CHECK(standin::freed_while_mapped() == 0);
}

}  // namespace

TEST_CASE("ranks write into each other's memory and flags give the order") {
  for (const Order order : kOrders) {
    standin::reset(order);
    Ranks ranks;
    {
      const PeerMemory memory(ranks, kHourNs);
      constexpr int64_t kCount = 20;
      const Exchanges exchanges(memory, kCount);
      const CudaStream stream;
      const CudaStream side;
      for (int64_t exchange = 0; exchange < kCount; ++exchange) {
        dawdle(memory.rank(), exchange);
        exchanges.bring_input(exchange, stream);
        exchanges.exchange(stream, side);
        exchanges.take_output(exchange, stream);
      }
      stream.synchronize();
      CHECK(exchanges.wrong_values() == 0);
      CHECK(memory.status().gave_up == 0);
      CHECK(*memory.flags().exchange == kCount);
    }
    check_all_given_back();
  }
}

TEST_CASE("a graph of an exchange is replayed") {
  for (const Order order : kOrders) {
    standin::reset(order);
    Ranks ranks;
    {
      const PeerMemory memory(ranks, kHourNs);
      constexpr int64_t kCount = 10;
      const Exchanges exchanges(memory, kCount);
      const CudaStream stream;
      const CudaStream side;
      const CudaGraph graph(stream, [&] { exchanges.exchange(stream, side); });
      for (int64_t exchange = 0; exchange < kCount; ++exchange) {
        dawdle(memory.rank(), exchange);
        exchanges.bring_input(exchange, stream);
        graph.launch(stream);
        exchanges.take_output(exchange, stream);
      }
      stream.synchronize();
      CHECK(exchanges.wrong_values() == 0);
      CHECK(*memory.flags().exchange == kCount);
    }
    check_all_given_back();
  }
}

TEST_CASE("a peer that never signals is told with the flag that it has not set") {
  for (const Order order : kOrders) {
    standin::reset(order);
    Ranks ranks;
    {
      const PeerMemory memory(ranks, kShortNs);
      const CudaStream stream;
      const int missing = memory.size() - 1;
      step_flags(memory.flags(), {.begins = true, .signal = kLanded}, stream);
      if (memory.rank() != missing) {
        step_flags(memory.flags(), {.begins = true, .signal = kLanded, .wait = kLanded}, stream);
        PeerFlags patient = memory.flags();
        patient.deadline_ns = kHourNs;
        step_flags(patient, {.signal = kFetched, .wait = kFetched}, stream);
      }
      stream.synchronize();
      ranks.watch.barrier();
      const PeerWaitStatus& told = memory.status();
      if (memory.rank() != missing) {
        CHECK(told.gave_up == 1);
        CHECK(told.stop == 1);
        CHECK(told.peer == missing);
        CHECK(told.mark == kLanded);
        CHECK(told.exchange == 2);
      } else {
        CHECK(told.gave_up == 0);
        const int64_t* fetched = memory.flags().own + kFetched * memory.size();
        CHECK(std::all_of(fetched, fetched + memory.size(), [](int64_t n) { return n == 0; }));
      }
    }
    check_all_given_back();
  }
}

TEST_CASE("a host stops its waits, whatever its peers do") {
  for (const Order order : kOrders) {
    standin::reset(order);
    Ranks ranks;
    {
      const PeerMemory memory(ranks, kHourNs);
      const CudaStream stream;
      step_flags(memory.flags(), {.begins = true, .wait = kLanded}, stream);
      step_flags(memory.flags(), {.signal = kLanded, .wait = kFetched}, stream);
      memory.status().stop = 1;
      stream.synchronize();
      ranks.watch.barrier();
      CHECK(memory.status().gave_up == 0);
      CHECK(memory.flags().own[kLanded * memory.size()] == 0);
    }
    check_all_given_back();
  }
}

TEST_CASE("a rank whose host waits for another lets its GPU go on") {
  for (const Order order : kOrders) {
    standin::reset(order);
    Ranks ranks;
    {
      const PeerMemory memory(ranks, kHourNs);
      const CudaStream stream;
      step_flags(memory.flags(), {.begins = true, .signal = kLanded, .wait = kLanded}, stream);
      step_flags(memory.flags(), {.signal = kFetched, .wait = kFetched}, stream);
      if (memory.rank() == 0) stream.synchronize();  // needs what the others do behind their wait
      ranks.watch.barrier();
      stream.synchronize();
      CHECK(memory.status().gave_up == 0);
    }
    check_all_given_back();
  }
}
