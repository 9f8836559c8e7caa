// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/weight_store.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "hashep/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

using namespace hashep;
using hashep::test::TempDir;

namespace {

constexpr int64_t kItems = 12;
constexpr int64_t kPartBytes = 9000;  // no multiple of a block

/// Files whose bytes tell where they stand.
class Files {
 public:
  Files() {
    for (int file = 0; file < 2; ++file) {
      std::string bytes(static_cast<size_t>(kItems * kPartBytes + 100), '\0');
      for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = byte_at(file, static_cast<int64_t>(i));
      std::ofstream(path(file), std::ios::binary) << bytes;
    }
  }

  static char byte_at(int file, int64_t i) {
    return static_cast<char>((i * 131 + i / 251 + file * 17) % 256);
  }
  std::string path(int file) const { return dir_.file("f" + std::to_string(file)); }

  /// An item has a part of each file, and a few bytes of the first beside it.
  std::vector<std::vector<FileRange>> items() const {
    std::vector<std::vector<FileRange>> items;
    for (int64_t i = 0; i < kItems; ++i) {
      items.push_back({{path(1), 100 + i * kPartBytes, kPartBytes},
                       {path(0), i * kPartBytes, kPartBytes},
                       {path(0), (i + 1) * kPartBytes, 40}});
    }
    return items;
  }

 private:
  TempDir dir_;
};

/// Slots that hold what was unpacked.
struct Slots {
  explicit Slots(int count) : held(static_cast<size_t>(count)) {}

  WeightStore::Unpack unpack() {
    return [this](int64_t item, int slot, std::span<const std::byte* const> parts) {
      std::string& to = held[static_cast<size_t>(slot)];
      to.assign(reinterpret_cast<const char*>(parts[0]), kPartBytes);
      to.append(reinterpret_cast<const char*>(parts[1]), kPartBytes);
      to.append(reinterpret_cast<const char*>(parts[2]), 40);
      static_cast<void>(item);
    };
  }

  bool holds(int slot, int64_t item) const {
    const std::string& bytes = held[static_cast<size_t>(slot)];
    if (std::ssize(bytes) != 2 * kPartBytes + 40) return false;
    for (int64_t i = 0; i < kPartBytes; ++i) {
      if (bytes[i] != Files::byte_at(1, 100 + item * kPartBytes + i)) return false;
      if (bytes[kPartBytes + i] != Files::byte_at(0, item * kPartBytes + i)) return false;
    }
    for (int64_t i = 0; i < 40; ++i) {
      if (bytes[2 * kPartBytes + i] != Files::byte_at(0, (item + 1) * kPartBytes + i)) return false;
    }
    return true;
  }

  std::vector<std::string> held;
};

/// Reads that go wrong: some of them, at random.
class FaultyQueue final : public ReadQueue {
 public:
  enum class Fault { none, shorter, interrupted, slow, io_error, ends };

  FaultyQueue(int depth, Fault fault, unsigned seed)
      : queue_(make_read_queue(depth)), fault_(fault), random_(seed) {}

  std::string_view name() const override { return "faulty"; }
  void submit(const ReadRequest& request) override {
    ReadRequest changed = request;
    const bool is_hit = random_() % 4 == 0;
    if (is_hit && fault_ == Fault::shorter && request.bytes > InputFile::kDirectAlignment) {
      changed.bytes = InputFile::kDirectAlignment;
    }
    queue_->submit(changed);
  }
  ReadResult wait() override {
    ReadResult result = queue_->wait();
    if (random_() % 6 != 0) return result;
    if (fault_ == Fault::interrupted) return {result.tag, 0, random_() % 2 == 0 ? EINTR : EAGAIN};
    if (fault_ == Fault::io_error) return {result.tag, 0, EIO};
    if (fault_ == Fault::ends) return {result.tag, 0, 0};
    if (fault_ == Fault::slow) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return result;
  }

 private:
  std::unique_ptr<ReadQueue> queue_;
  Fault fault_;
  std::mt19937 random_;
};

using Fault = FaultyQueue::Fault;

/// Batches of random uses, each item once, in ascending order.
std::vector<std::vector<int64_t>> random_batches(unsigned seed, size_t count) {
  std::mt19937 random(seed);
  std::vector<std::vector<int64_t>> batches(count);
  for (auto& batch : batches) {
    for (int64_t item = 0; item < kItems; ++item) {
      if (random() % 3 == 0) batch.push_back(item);
    }
  }
  return batches;
}

/// Uses all batches, `ahead` of which are announced before they are reached; several uses are held
/// at once. Whether each slot held its item.
bool use_all(WeightStore& store, const Slots& slots,
             const std::vector<std::vector<int64_t>>& batches, size_t ahead) {
  bool is_right = true;
  size_t announced = 0;
  for (size_t batch = 0; batch < batches.size(); ++batch) {
    while (announced < std::min(batches.size(), batch + 1 + ahead)) {
      store.announce(batches[announced++]);
    }
    const std::vector<int64_t>& items = batches[batch];
    for (size_t i = 0; i < items.size();) {
      std::vector<std::pair<int, int64_t>> held;
      do {
        held.emplace_back(store.acquire(items[i]), items[i]);
        ++i;
      } while (i < items.size() && store.is_ready());
      for (const auto& [slot, item] : held) is_right = is_right && slots.holds(slot, item);
      store.release(std::ssize(held));
    }
  }
  return is_right;
}

}  // namespace

TEST_CASE("a store has each item in its slot when it is used, and reads no more than it must") {
  const Files files;
  for (const int slots : {1, 2, 5, 12}) {
    for (const int buffers : {1, 3}) {
      const int spare = buffers - 1;
      for (const auto& make : {make_read_queue, make_thread_read_queue}) {
        const auto batches = random_batches(static_cast<unsigned>(slots), 40);
        Slots memory(slots + spare);
        WeightStore store(files.items(),
                          {.slots = slots,
                           .spare = spare,
                           .buffers = buffers,
                           .lookahead = 100,
                           .make_queue = make},
                          memory.unpack());
        CHECK(use_all(store, memory, batches, batches.size()));
        const StoreStats stats = store.stats();
        CHECK(stats.loads == stats.least_loads);
        CHECK(stats.lru_loads >= stats.least_loads);
        const int64_t bytes = WeightStore::buffer_bytes_for(files.items()[1]);
        CHECK(bytes % InputFile::kDirectAlignment == 0);
        CHECK(bytes <= 2 * (kPartBytes + 2 * InputFile::kDirectAlignment));
        CHECK(stats.bytes_read <= stats.loads * (bytes + 2 * InputFile::kDirectAlignment));
      }
    }
  }
}

TEST_CASE("a store that knows a few batches ahead is right too, and one that is restarted") {
  const Files files;
  const auto batches = random_batches(3, 30);
  for (const size_t ahead : {0, 1, 4}) {
    Slots memory(6);
    WeightStore store(
        files.items(),
        {.slots = 5, .spare = 1, .buffers = 2, .lookahead = static_cast<int64_t>(ahead / 2)},
        memory.unpack());
    CHECK(use_all(store, memory, batches, ahead));
    store.announce(batches[7]);
    store.announce(batches[8]);
    store.restart();
    CHECK_THROWS_WITH(store.acquire(0), ContainsSubstring("not the next one announced"));
    CHECK(use_all(store, memory, batches, ahead));
  }
}

TEST_CASE("200 faults in reads: the right bytes or an error, and an end") {
  const Files files;
  int faults = 0;
  for (unsigned seed = 0; seed < 34; ++seed) {
    for (const Fault fault : {Fault::none, Fault::shorter, Fault::interrupted, Fault::slow,
                              Fault::io_error, Fault::ends}) {
      const int spare = static_cast<int>(seed % 3);
      Slots memory(3 + spare);
      WeightStore store(
          files.items(),
          {.slots = 3,
           .spare = spare,
           .buffers = 2,
           .lookahead = 1,
           .make_queue =
               [&](int depth) { return std::make_unique<FaultyQueue>(depth, fault, seed); }},
          memory.unpack());
      ++faults;
      const auto batches = random_batches(seed, fault == Fault::slow ? 2 : 8);
      const bool may_end = fault == Fault::io_error || fault == Fault::ends;
      try {
        const bool is_right = use_all(store, memory, batches, 3);
        CHECK(is_right);
      } catch (const RunError& error) {
        INFO(error.what());
        CHECK(may_end);
        CHECK(std::string(error.what()).find("cannot read: ") != std::string::npos);
      }
    }
  }
  CHECK(faults >= 200);
}

TEST_CASE("a file that is cut or written to while it is read ends the use of the store") {
  for (const bool is_cut : {true, false}) {
    const Files files;
    Slots memory(1);
    WeightStore store(files.items(), {.slots = 1}, memory.unpack());
    store.announce(std::vector<int64_t>{0, 1});
    store.acquire(0);
    CHECK(memory.holds(0, 0));
    std::this_thread::sleep_for(std::chrono::milliseconds(30));  // times of files are coarse
    if (is_cut) {
      REQUIRE(truncate(files.path(0).c_str(), kPartBytes) == 0);
    } else {
      std::fstream(files.path(0), std::ios::in | std::ios::out | std::ios::binary).put('x');
    }
    store.release(1);
    CHECK_THROWS_WITH(store.acquire(1), ContainsSubstring("f0: "));
  }
}

TEST_CASE("what unpacking refuses, and reads that never end, end the use of the store") {
  const Files files;
  {
    WeightStore store(files.items(), {.slots = 1},
                      [](int64_t, int, std::span<const std::byte* const>) {
                        throw InputError("these bytes are bad");
                      });
    store.announce(std::vector<int64_t>{0});
    CHECK_THROWS_WITH(store.acquire(0), ContainsSubstring("these bytes are bad"));
  }
  std::atomic<bool> may_go_on = false;
  {
    WeightStore::Options options{.slots = 1};
    options.deadline = std::chrono::duration<double>(0.2);
    WeightStore store(files.items(), options, [&](int64_t, int, std::span<const std::byte* const>) {
      while (!may_go_on) std::this_thread::yield();
    });
    store.announce(std::vector<int64_t>{0});
    CHECK_THROWS_WITH(store.acquire(0), ContainsSubstring("no read has come to its end"));
    may_go_on = true;
  }
  CHECK_THROWS_AS(WeightStore({{{"nowhere", 0, 1}}}, {.slots = 1}, {}), InputError);
}
