// SPDX-License-Identifier: Apache-2.0
// Promise 2 of the design: the planning exchange gathers the words of all ranks once a node,
// whatever the nodes, and gets done in the waits of a step that calls no MPI itself.
#include "comm/count_exchange.hpp"

#include <mpi.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "comm/exchange/node_flags.hpp"
#include "comm/topology.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/ranks.hpp"

using namespace hashep;

namespace {

int64_t tests_of_pending = 0;  // calls of MPI_Test with a request that was not found complete yet

/// Waits for nothing, for so many polls.
void wait_for_polls(Watch& watch, int spins, int polls) {
  int polled = 0;
  watch.wait_until(
      spins, [&] { return ++polled > polls; }, [] { return ""; });
}

/// Waits for nothing again and again, until no wait finds anything pending any more: other ranks
/// may have to be given a core first.
void wait_until_none_is_pending(Watch& watch, int spins, int polls) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (int64_t before = -1; tests_of_pending != before && std::chrono::steady_clock::now() < end;) {
    before = tests_of_pending;
    wait_for_polls(watch, spins, polls);
  }
}

/// Made-up nodes for ranks of one machine: the label of each rank.
struct MadeUpNodes {
  const char* what;
  int (*label)(int rank, int ep_size);
};
constexpr MadeUpNodes kMadeUpNodes[] = {
    {"one node", [](int, int) { return 0; }},
    {"a node each", [](int rank, int) { return rank; }},
    {"pairs", [](int rank, int) { return rank / 2; }},
    {"dealt to two", [](int rank, int) { return rank % 2; }},
    {"one and the rest", [](int rank, int) { return rank == 0 ? 0 : 1; }},
    {"the last alone", [](int rank, int ep_size) { return rank == ep_size - 1 ? 1 : 0; }},
};

/// Whether ranks of one node are always of one machine, and can share memory.
bool are_within(const NodeMap& nodes, const NodeMap& machines) {
  for (int node = 0; node < nodes.num_nodes(); ++node) {
    for (const int32_t rank : nodes.ranks_of(node)) {
      if (machines.node_of(rank) != machines.node_of(nodes.ranks_of(node).front())) return false;
    }
  }
  return true;
}

/// Rails that a rank takes in: as many as its node leaves to it of the largest node's.
int64_t rails_of(const NodeMap& nodes, int rank) {
  size_t most = 0;
  for (int node = 0; node < nodes.num_nodes(); ++node) {
    most = std::max(most, nodes.ranks_of(node).size());
  }
  if (nodes.num_nodes() == 1) return 0;
  int64_t rails = 0;
  const size_t here = nodes.ranks_of(nodes.node_of(rank)).size();
  for (size_t rail = 0; rail < most; ++rail) {
    if (rail % here == static_cast<size_t>(nodes.local_index(rank))) ++rails;
  }
  return rails;
}

/// Bytes of shared memory that this process has mapped, without those of MPI.
int64_t shared_bytes() {
  std::ifstream maps("/proc/self/maps");
  int64_t bytes = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("/dev/shm/hashep-") == std::string::npos) continue;
    size_t dash = 0;
    const uint64_t begin = std::stoull(line, &dash, 16);
    bytes += static_cast<int64_t>(std::stoull(line.substr(dash + 1), nullptr, 16) - begin);
  }
  return bytes;
}

int64_t names_in_shared_memory() {
  int64_t names = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    names += entry.path().filename().string().starts_with("hashep-") ? 1 : 0;
  }
  return names;
}

int64_t in_pages(int64_t bytes) {
  constexpr int64_t kPage = 4096;
  return (bytes + kPage - 1) / kPage * kPage;
}

CountWord word(int64_t exchange, int64_t rank, int64_t index) {
  return static_cast<CountWord>((exchange << 24) + (rank << 16) + index);
}

std::vector<CountWord> words_of(int64_t exchange, int64_t rank, int64_t words) {
  std::vector<CountWord> mine;
  for (int64_t i = 0; i < words; ++i) mine.push_back(word(exchange, rank, i));
  return mine;
}

int64_t wrong_words(std::span<const CountWord> found, int64_t exchange, int64_t words) {
  int64_t wrong = 0;
  for (int64_t at = 0; at < std::ssize(found); ++at) {
    wrong += found[at] == word(exchange, at / words, at % words) ? 0 : 1;
  }
  return wrong;
}

/// Lets no file of this process grow, for as long as it lives, as where /dev/shm is full.
class FullFiles {
 public:
  FullFiles() : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before_) == 0);
    const rlimit none{0, before_.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &none) == 0);
  }
  ~FullFiles() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FullFiles(const FullFiles&) = delete;
  FullFiles& operator=(const FullFiles&) = delete;

 private:
  void (*handler_)(int);
  rlimit before_{};
};

}  // namespace

// MPI's profiling interface: stands before the library's own function in the whole program.
extern "C" int MPI_Test(MPI_Request* request, int* flag, MPI_Status* status) {
  if (*request != MPI_REQUEST_NULL) ++tests_of_pending;
  return PMPI_Test(request, flag, status);
}

TEST_CASE("an exchange that is pending gets done in waits for other things, long or short") {
  test::Ranks ranks;
  const Topology topology = find_topology(ranks.comm, ranks.watch);
  if (topology.nodes.num_nodes() > 1) return;  // where flags cannot tell when all have begun
  NodeFlags flags(topology.node, topology.nodes.ranks_of(0), ranks.watch);
  const Topology apart = topology_by_label(ranks.comm, ranks.watch, ranks.comm.rank());
  CountExchange exchange({ranks.comm, apart, ranks.watch}, 1);
  for (int64_t batch = 1; batch <= 2; ++batch) {
    const bool long_waits = batch == 1;
    INFO((long_waits ? "long waits" : "short waits"));
    const int64_t at_start = tests_of_pending;
    const std::vector<CountWord> mine = {static_cast<CountWord>(10 * batch + ranks.comm.rank())};
    exchange.start(mine);
    flags.set(ExchangeStage::landed, batch);
    flags.wait(ExchangeStage::landed, batch);  // all ranks have begun the exchange
    if (long_waits) {
      wait_until_none_is_pending(ranks.watch, 0, 50);
    } else {
      wait_until_none_is_pending(ranks.watch, 3, 1);  // over before any pause
    }
    const int64_t before = tests_of_pending;
    CHECK((before > at_start) == (ranks.comm.size() > 1));  // alone it has nothing to wait for
    const CountExchange::Gathered gathered = exchange.finish();
    const auto all = gathered.words();
    CHECK(tests_of_pending == before);  // nothing was left to do
    for (int rank = 0; rank < ranks.comm.size(); ++rank) {
      CHECK(int64_t{all[rank]} == 10 * batch + rank);
    }
  }
}

TEST_CASE("an exchange that is given up while it is pending leaves MPI its memory") {
  constexpr int64_t kWords = 1000;
  test::Ranks ranks;
  const std::vector<CountWord> mine(kWords, 7);
  const auto size = static_cast<size_t>(kWords * ranks.comm.size());
  for (const MadeUpNodes& made_up : kMadeUpNodes) {
    INFO(made_up.what);
    const Topology topology = topology_by_label(
        ranks.comm, ranks.watch, made_up.label(ranks.comm.rank(), ranks.comm.size()));
    {
      CountExchange exchange({ranks.comm, topology, ranks.watch}, kWords);
      // The first rank gives up before the others have sent anything.
      if (ranks.comm.rank() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(200));
      exchange.start(mine);
    }
    const std::vector<CountWord> next(size, 9);  // likely where the exchange had its memory
    for (int i = 0; i < 3; ++i) {
      MPI_Request barrier = MPI_REQUEST_NULL;  // moves the exchange on
      check_mpi(MPI_Ibarrier(ranks.comm.get(), &barrier), "MPI_Ibarrier");
      ranks.watch.wait(barrier);
    }
    CHECK(std::count(next.begin(), next.end(), 9) == std::ssize(next));
  }
}

TEST_CASE("whatever the nodes, all words come to all ranks, in one matrix a node") {
  test::Ranks ranks;
  const int rank = ranks.comm.rank();
  const int ep_size = ranks.comm.size();
  const int64_t names = names_in_shared_memory();
  const Topology machines = find_topology(ranks.comm, ranks.watch);
  for (const MadeUpNodes& made_up : kMadeUpNodes) {
    const Topology topology =
        topology_by_label(ranks.comm, ranks.watch, made_up.label(rank, ep_size));
    const bool can_share = are_within(topology.nodes, machines.nodes);
    const int64_t ranks_of_node = can_share ? topology.node.size() : 1;
    const int64_t rails =
        rails_of(can_share ? topology.nodes : nodes_of_equal_size(ep_size, 1), rank);
    for (const int64_t words : {1, 3, 4000}) {
      INFO(made_up.what << ", " << words << " words");
      const int64_t before = shared_bytes();
      CountExchange exchange({ranks.comm, topology, ranks.watch}, words);
      CHECK(exchange.ranks_of_node() == ranks_of_node);
      if (ranks_of_node > 1) {
        const int64_t matrix = ep_size * words * 4;
        const int64_t flags = ranks_of_node * kCountFlagBytes;
        CHECK(exchange.bytes() == matrix + flags);
        CHECK(exchange.bytes() == count_exchange_bytes(words, ep_size, ranks_of_node));
        CHECK(shared_bytes() - before == in_pages(matrix) + in_pages(flags));
      }
      for (int64_t number = 0; number < 5; ++number) {
        // Each time another rank is late, to write or to read.
        if (rank == number % ep_size) std::this_thread::sleep_for(std::chrono::milliseconds(5));
        const int64_t collectives = ranks.watch.collectives();
        exchange.start(words_of(number, rank, words));
        const CountExchange::Gathered gathered = exchange.finish();
        CHECK(std::ssize(gathered.words()) == ep_size * words);
        CHECK(ranks.watch.collectives() - collectives == rails);
        if (rank == (number + 1) % ep_size) {
          std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        CHECK(wrong_words(gathered.words(), number, words) == 0);
      }
    }
  }
  ranks.watch.barrier();
  CHECK(names_in_shared_memory() == names);
}

TEST_CASE("a rank that waits for other things tells its node when its rows have come") {
  test::Ranks ranks(20.0);
  const int rank = ranks.comm.rank();
  const Topology all = find_topology(ranks.comm, ranks.watch);
  if (all.nodes.num_nodes() > 1) return;
  const Topology pairs = topology_by_label(ranks.comm, ranks.watch, rank / 2);
  NodeFlags flags(all.node, all.nodes.ranks_of(0), ranks.watch);
  CountExchange exchange({ranks.comm, pairs, ranks.watch}, 10);
  exchange.start(words_of(1, rank, 10));
  const auto meet = [&] {
    flags.set(ExchangeStage::landed, 1);
    flags.wait(ExchangeStage::landed, 1);
  };
  if (rank % 2 == 1) meet();  // the even ranks come after they have finished
  CHECK(wrong_words(exchange.finish().words(), 1, 10) == 0);
  if (rank % 2 == 0) meet();
}

TEST_CASE("ranks of one machine share one matrix, and need no MPI for it") {
  test::Ranks ranks;
  const Topology topology = find_topology(ranks.comm, ranks.watch);
  CountExchange exchange({ranks.comm, topology, ranks.watch}, 10);
  CHECK(exchange.ranks_of_node() == topology.node.size());
  const int64_t before = tests_of_pending;
  exchange.start(words_of(1, ranks.comm.rank(), 10));
  CHECK(wrong_words(exchange.finish().words(), 1, 10) == 0);
  if (topology.nodes.num_nodes() == 1) CHECK(tests_of_pending == before);
}

TEST_CASE("where one rank has no shared memory, all have their own, and all words still come") {
  test::Ranks ranks;
  const int rank = ranks.comm.rank();
  for (const MadeUpNodes& made_up : kMadeUpNodes) {
    INFO(made_up.what);
    const Topology topology =
        topology_by_label(ranks.comm, ranks.watch, made_up.label(rank, ranks.comm.size()));
    const int64_t before = shared_bytes();
    std::optional<FullFiles> full;
    if (rank == ranks.comm.size() - 1) full.emplace();
    CountExchange exchange({ranks.comm, topology, ranks.watch}, 5000);
    full.reset();
    CHECK(exchange.ranks_of_node() == 1);
    CHECK(shared_bytes() == before);
    for (int64_t number = 0; number < 3; ++number) {
      exchange.start(words_of(number, rank, 5000));
      CHECK(wrong_words(exchange.finish().words(), number, 5000) == 0);
    }
  }
}

TEST_CASE("a rank that does not come to the exchange is named by those of its node that wait") {
  test::Ranks ranks(2.0);
  const Topology topology = find_topology(ranks.comm, ranks.watch);
  if (topology.nodes.num_nodes() > 1 || ranks.comm.size() == 1) return;
  const int late = ranks.comm.size() - 1;
  CountExchange exchange({ranks.comm, topology, ranks.watch}, 2);
  if (ranks.comm.rank() == late) {
    std::this_thread::sleep_for(std::chrono::seconds(4));
    return;
  }
  exchange.start(words_of(0, ranks.comm.rank(), 2));
  std::string text;
  bool is_reporter = false;
  try {
    static_cast<void>(exchange.finish());
  } catch (const GaveUp& error) {
    is_reporter = true;
    text = error.what();
  } catch (const ReportedByPeer& error) {
    text = error.what();
  }
  CHECK_FALSE(text.empty());
  if (is_reporter) {
    CHECK(text.find("waiting for rank " + std::to_string(late) + "'s counts") != std::string::npos);
  }
}

TEST_CASE("a request that is forgotten is not touched by waits") {
  test::Ranks ranks;
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ibarrier(ranks.comm.get(), &request), "MPI_Ibarrier");
  ranks.watch.poll_in_waits(request);
  ranks.watch.forget(request);
  const int64_t before = tests_of_pending;
  wait_for_polls(ranks.watch, 3, 20);
  CHECK(tests_of_pending == before);
  ranks.watch.wait(request);
  CHECK(tests_of_pending > before);
}
