// SPDX-License-Identifier: Apache-2.0
// Flags between GPUs, with all ranks on one: each has its memory and a stream. On a GPU, or on the
// stand-in for one. A GPU may do one kernel after the other, streams may share a queue, and all
// copies do: what a wait needs is asked for before it, so ranks are asked stage by stage. Cases
// tagged [small] also pass where a launch returns when it is done.
#include "kernels/rows/peer_flags.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <vector>

#include "core/cuda/device_buffer.hpp"
#include "core/cuda/graph.hpp"
#include "core/cuda/stream.hpp"
#include "core/random.hpp"
#include "hashep/error.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

constexpr int kMarks = 2;
constexpr int kLanded = 0;
constexpr int kFetched = 1;
constexpr int64_t kBlock = 3001;  // values that a rank sends to each other
constexpr int64_t kDeadlineNs = int64_t{10} * 1000000000;
constexpr int64_t kShortNs = 20000000;

/// to[0, count) of the host = the GPU's; waits.
std::vector<int64_t> download(const int64_t* from, int64_t count) {
  const int64_t bytes = count * int64_t{sizeof(int64_t)};
  PinnedBuffer staging(bytes);
  const CudaStream stream;
  copy_async(staging.data(), from, bytes, stream);
  stream.synchronize();
  std::vector<int64_t> values(count);
  std::memcpy(values.data(), staging.data(), bytes);
  return values;
}

/// GPU memory of 64-bit words, zero.
class Words {
 public:
  explicit Words(int64_t count) : memory_(count * int64_t{sizeof(int64_t)}), count_(count) {
    const CudaStream stream;
    fill_async(memory_.data(), 0, memory_.capacity(), stream);
    stream.synchronize();
  }
  int64_t* data() const { return memory_.as<int64_t>(); }
  std::vector<int64_t> read() const { return download(data(), count_); }

 private:
  DeviceBuffer memory_;
  int64_t count_;
};

/// Ranks of a node whose GPUs are one.
class Node {
 public:
  Node(int num_ranks, int64_t deadline_ns)
      : num_ranks_(num_ranks),
        numbers_(num_ranks),
        statuses_(num_ranks * int64_t{sizeof(PeerWaitStatus)}),
        addresses_(num_ranks * int64_t{sizeof(int64_t*)}),
        deadline_ns_(deadline_ns) {
    PinnedBuffer staging(addresses_.capacity());
    for (int rank = 0; rank < num_ranks; ++rank) {
      flags_.emplace_back(kMarks * num_ranks);
      int64_t* const data = flags_.back().data();
      std::memcpy(staging.data() + rank * sizeof(int64_t*), &data, sizeof(int64_t*));
      new (&status(rank)) PeerWaitStatus;
    }
    const CudaStream stream;
    copy_async(addresses_.data(), staging.data(), addresses_.capacity(), stream);
    stream.synchronize();
  }

  int size() const { return num_ranks_; }
  PeerFlags of(int rank) const {
    return {.num_peers = num_ranks_,
            .rank = rank,
            .num_marks = kMarks,
            .own = flags_[rank].data(),
            .peers = addresses_.as<int64_t* const>(),
            .exchange = numbers_.data() + rank,
            .status = &status(rank),
            .deadline_ns = deadline_ns_};
  }
  /// What the GPU has told by now.
  PeerWaitStatus told(int rank) const {
    const volatile PeerWaitStatus& now = status(rank);
    return {now.stop, now.gave_up, now.peer, now.mark, now.exchange};
  }
  void stop(int rank) const { static_cast<volatile PeerWaitStatus&>(status(rank)).stop = 1; }
  std::vector<int64_t> flags(int rank) const { return flags_[rank].read(); }
  std::vector<int64_t> numbers() const { return numbers_.read(); }

 private:
  PeerWaitStatus& status(int rank) const {
    return reinterpret_cast<PeerWaitStatus*>(statuses_.data())[rank];
  }

  int num_ranks_;
  std::vector<Words> flags_;
  Words numbers_;
  PinnedBuffer statuses_;
  DeviceBuffer addresses_;
  int64_t deadline_ns_;
};

/// What the ranks send each other in some exchanges, and where it lands.
struct Rows {
  explicit Rows(int num_ranks, int num_exchanges)
      : ranks(num_ranks), exchanges(num_exchanges), sent(ranks * kBlock * kWord) {
    for (int rank = 0; rank < num_ranks; ++rank) {
      inboxes.emplace_back(ranks * kBlock);
      outputs.emplace_back(exchanges * ranks * kBlock);
      streams.emplace_back();
    }
    PinnedBuffer values(sent.capacity());
    auto* words = reinterpret_cast<int64_t*>(values.data());
    for (int64_t i = 0; i < ranks * kBlock; ++i) {
      words[i] = static_cast<int64_t>(random_bits(5, static_cast<uint64_t>(i)));
    }
    expected.assign(words, words + ranks * kBlock);
    copy_async(sent.data(), values.data(), sent.capacity(), streams[0]);
    streams[0].synchronize();
  }

  const CudaStream& stream(int rank) const { return streams[rank]; }

  /// First stage of an exchange, when all ranks were asked to fetch of the one before: `rank`'s
  /// block goes to all inboxes.
  void send(const PeerFlags& flags) const {
    const int rank = flags.rank;
    step_flags(flags, {.begins = true, .wait = kFetched, .lag = 1}, stream(rank));
    for (const Words& inbox : inboxes) {
      copy_async(inbox.data() + rank * kBlock, sent.as<int64_t>() + rank * kBlock, kBlock * kWord,
                 stream(rank));
    }
  }
  /// Second stage, when all were asked to send. What the last of them is asked for is one kernel.
  void signal(const PeerFlags& flags, bool is_last) const {
    step_flags(flags, {.signal = kLanded, .wait = is_last ? kLanded : FlagStep::kNone},
               stream(flags.rank));
  }
  /// Third stage, when all were asked to signal: all that is in the inbox goes to `output`.
  void fetch(const PeerFlags& flags, bool has_waited, int64_t* output) const {
    const int rank = flags.rank;
    if (!has_waited) step_flags(flags, {.wait = kLanded}, stream(rank));
    const Words& inbox = inboxes[rank];
    copy_async(output, inbox.data(), ranks * kBlock * kWord, stream(rank));
    fill_async(inbox.data(), 0xee, ranks * kBlock * kWord, stream(rank));  // to be written anew
    step_flags(flags, {.signal = kFetched}, stream(rank));
  }

  int64_t* output(int rank, int64_t exchange) const {
    return outputs[rank].data() + exchange * ranks * kBlock;
  }
  bool is_right(int rank, int64_t exchange) const {
    return download(output(rank, exchange), ranks * kBlock) == expected;
  }

  static constexpr int64_t kWord = sizeof(int64_t);
  int64_t ranks;
  int64_t exchanges;
  DeviceBuffer sent;
  std::vector<Words> inboxes;
  std::vector<Words> outputs;
  std::vector<CudaStream> streams;
  std::vector<int64_t> expected;
};

void check_nobody_gave_up(const Node& node) {
  for (int rank = 0; rank < node.size(); ++rank) {
    CHECK(node.told(rank).gave_up == 0);
    CHECK(node.told(rank).peer == -1);
  }
}

TEST_CASE("flags give order between ranks", "[small]") {
  constexpr int kExchanges = 5;
  for (const int num_ranks : {1, 2, 4}) {
    const Node node(num_ranks, kDeadlineNs);
    const Rows rows(num_ranks, kExchanges);
    for (int exchange = 0; exchange < kExchanges; ++exchange) {
      const int last = exchange % num_ranks;
      for (int rank = 0; rank < num_ranks; ++rank) rows.send(node.of(rank));
      for (int rank = 0; rank < num_ranks; ++rank) {
        if (rank != last) rows.signal(node.of(rank), false);
      }
      rows.signal(node.of(last), true);
      for (int rank = 0; rank < num_ranks; ++rank) {
        rows.fetch(node.of(rank), rank == last, rows.output(rank, exchange));
      }
    }
    for (const CudaStream& stream : rows.streams) stream.synchronize();
    for (int rank = 0; rank < num_ranks; ++rank) {
      for (int exchange = 0; exchange < kExchanges; ++exchange) {
        CHECK(rows.is_right(rank, exchange));
      }
      const std::vector<int64_t> all_five(kMarks * num_ranks, kExchanges);
      CHECK(node.flags(rank) == all_five);
    }
    CHECK(node.numbers() == std::vector<int64_t>(num_ranks, kExchanges));
    check_nobody_gave_up(node);
  }
}

TEST_CASE("captured exchanges count on at each replay", "[small]") {
  constexpr int kRanks = 3;
  const Node node(kRanks, kDeadlineNs);
  const Rows rows(kRanks, 1);
  // One graph of each rank up to its signal, one of what waits for those of the others.
  std::vector<CudaGraph> sending;
  std::vector<CudaGraph> fetching;
  for (int rank = 0; rank < kRanks; ++rank) {
    sending.emplace_back(rows.stream(rank), [&] {
      rows.send(node.of(rank));
      rows.signal(node.of(rank), false);
    });
    fetching.emplace_back(rows.stream(rank),
                          [&] { rows.fetch(node.of(rank), false, rows.output(rank, 0)); });
  }
  for (int replay = 1; replay <= 4; ++replay) {
    for (int rank = 0; rank < kRanks; ++rank) {
      fill_async(rows.output(rank, 0), 0, kRanks * kBlock * Rows::kWord, rows.stream(rank));
      sending[rank].launch(rows.stream(rank));
    }
    for (int rank = 0; rank < kRanks; ++rank) {
      fetching[rank].launch(rows.stream(rank));
    }
    for (const CudaStream& stream : rows.streams) stream.synchronize();
    for (int rank = 0; rank < kRanks; ++rank) CHECK(rows.is_right(rank, 0));
    CHECK(node.numbers() == std::vector<int64_t>(kRanks, replay));
  }
  check_nobody_gave_up(node);
}

TEST_CASE("a warp signals to and waits for more peers than it has lanes", "[small]") {
  constexpr int kRanks = 71;
  const Node node(kRanks, kDeadlineNs);
  const CudaStream stream;
  for (int rank = 0; rank < kRanks; ++rank) {
    step_flags(node.of(rank), {.begins = true, .signal = kFetched}, stream);
  }
  for (int rank = 0; rank < kRanks; ++rank) step_flags(node.of(rank), {.wait = kFetched}, stream);
  stream.synchronize();
  check_nobody_gave_up(node);
  std::vector<int64_t> want(kMarks * kRanks, 0);
  std::fill(want.begin() + kFetched * kRanks, want.end(), 1);
  for (const int rank : {0, 31, 32, 70}) CHECK(node.flags(rank) == want);
}

TEST_CASE("a peer that never signals is told, and stops all that follows", "[small]") {
  for (const int missing : {1, 34}) {
    constexpr int kRanks = 40;
    const Node node(kRanks, kShortNs);
    const CudaStream stream;
    const auto begin = std::chrono::steady_clock::now();
    for (int rank = 0; rank < kRanks; ++rank) {
      step_flags(node.of(rank), {.begins = true, .signal = kLanded}, stream);
    }
    for (int rank = 0; rank < kRanks; ++rank) {
      if (rank == missing) continue;
      step_flags(node.of(rank), {.begins = true, .signal = kLanded}, stream);
    }
    step_flags(node.of(0), {.wait = kLanded, .lag = 1}, stream);
    step_flags(node.of(0), {.wait = kLanded}, stream);
    PeerFlags patient = node.of(0);
    patient.deadline_ns = kDeadlineNs;
    step_flags(patient, {.wait = kFetched}, stream);
    step_flags(patient, {.begins = true, .signal = kFetched, .wait = kFetched}, stream);
    stream.synchronize();
    // Once a wait was given up, no later one takes its time.
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::nanoseconds(kDeadlineNs / 2));
    const PeerWaitStatus told = node.told(0);
    CHECK(told.gave_up == 1);
    CHECK(told.stop == 1);
    CHECK(told.peer == missing);
    CHECK(told.mark == kLanded);
    CHECK(told.exchange == 2);
    CHECK(node.numbers()[0] == kExchangesStopped);
    const auto flags = node.flags(missing);
    CHECK(flags[kLanded * kRanks] == 2);
    CHECK(flags[kFetched * kRanks] == 0);  // not signalled: what it would tell of may be wrong
    CHECK(node.told(missing).gave_up == 0);
  }
}

// The wait is under way when the host stops it: the launch must have returned by then.
TEST_CASE("the host stops a wait") {
  const Node node(2, kDeadlineNs);
  const CudaStream stream;
  step_flags(node.of(1), {.begins = true, .wait = kLanded}, stream);
  node.stop(1);
  stream.synchronize();
  CHECK(node.told(1).gave_up == 0);
  CHECK(node.told(1).peer == -1);
  CHECK(node.numbers()[1] == kExchangesStopped);
}

TEST_CASE("steps that do not fit their flags are refused", "[small]") {
  const Node node(2, kDeadlineNs);
  const CudaStream stream;
  const PeerFlags good = node.of(0);
  const auto refuses = [&](const PeerFlags& flags, const FlagStep& step) {
    CHECK_THROWS_AS(step_flags(flags, step, stream), RunError);
  };
  refuses(good, {.signal = kMarks});
  refuses(good, {.wait = -2});
  refuses(good, {.wait = kLanded, .lag = -1});
  for (const auto& spoil : std::vector<void (*)(PeerFlags&)>{
           [](PeerFlags& flags) { flags.rank = 2; },
           [](PeerFlags& flags) { flags.rank = -1; },
           [](PeerFlags& flags) { flags.own = nullptr; },
           [](PeerFlags& flags) { flags.peers = nullptr; },
           [](PeerFlags& flags) { flags.exchange = nullptr; },
           [](PeerFlags& flags) { flags.status = nullptr; },
           [](PeerFlags& flags) { flags.deadline_ns = 0; },
       }) {
    PeerFlags flags = good;
    spoil(flags);
    refuses(flags, {.begins = true});
  }
  stream.synchronize();
  CHECK(node.numbers() == std::vector<int64_t>{0, 0});
}

}  // namespace
}  // namespace hashep::test
