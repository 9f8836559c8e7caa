// SPDX-License-Identifier: Apache-2.0
#include "launch/gpu_choice.hpp"

#include <algorithm>
#include <numeric>
#include <optional>
#include <random>
#include <set>

#include "hashep/error.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

/// GPUs "0", "1", ... of which the first half is near NUMA node 0, the others near node 1.
std::vector<SeenGpu> two_sockets(int gpus) {
  std::vector<SeenGpu> list;
  for (int gpu = 0; gpu < gpus; ++gpu) {
    list.push_back({.pci_id = std::to_string(gpu), .numa_node = gpu < gpus / 2 ? 0 : 1});
  }
  return list;
}

std::vector<GpuView> same_view(int ranks, const std::vector<SeenGpu>& gpus) {
  return std::vector<GpuView>(ranks, GpuView{.gpus = gpus, .numa_nodes = {}});
}

bool is_near(const GpuView& view, int index) {
  const int node = view.gpus[index].numa_node;
  return node < 0 || view.numa_nodes.empty() ||
         std::count(view.numa_nodes.begin(), view.numa_nodes.end(), node) > 0;
}

/// The lowest choice of distinct GPUs by trying all, in order.
std::optional<std::vector<int>> by_trying_all(std::span<const GpuView> ranks, bool near_only) {
  std::vector<int> chosen;
  std::set<std::string> taken;
  const auto extend = [&](auto&& self) -> bool {
    if (chosen.size() == ranks.size()) return true;
    const GpuView& view = ranks[chosen.size()];
    for (int index = 0; index < static_cast<int>(view.gpus.size()); ++index) {
      const std::string& id = view.gpus[index].pci_id;
      if (near_only && !is_near(view, index)) continue;
      if (!taken.insert(id).second) continue;
      chosen.push_back(index);
      if (self(self)) return true;
      chosen.pop_back();
      taken.erase(id);
    }
    return false;
  };
  if (!extend(extend)) return std::nullopt;
  return chosen;
}

}  // namespace

TEST_CASE("ranks that see the same GPUs take them in order") {
  for (int gpus = 1; gpus <= 8; ++gpus) {
    for (int ranks = 1; ranks <= gpus; ++ranks) {
      std::vector<int> want(ranks);
      std::iota(want.begin(), want.end(), 0);
      for (const bool share : {false, true}) {
        CHECK(choose_gpus("a", same_view(ranks, two_sockets(gpus)), share) == want);
      }
    }
  }
}

TEST_CASE("ranks that the launcher bound take GPUs near their cores") {
  auto ranks = same_view(4, two_sockets(4));
  // Dealt to the sockets in turn, as `mpirun --map-by socket` does.
  for (size_t rank = 0; rank < 4; ++rank) ranks[rank].numa_nodes = {static_cast<int>(rank % 2)};
  CHECK(choose_gpus("a", ranks, false) == std::vector<int>{0, 2, 1, 3});
  // Fewer ranks than GPUs, all on the second socket.
  ranks.resize(2);
  for (GpuView& rank : ranks) rank.numa_nodes = {1};
  CHECK(choose_gpus("a", ranks, false) == std::vector<int>{2, 3});
  // A rank that may run on both leaves the near ones to who needs them.
  ranks = same_view(2, two_sockets(2));
  ranks[1].numa_nodes = {0};
  CHECK(choose_gpus("a", ranks, false) == std::vector<int>{1, 0});
}

TEST_CASE("where not every rank can be near its GPU, bindings do not matter") {
  auto ranks = same_view(4, two_sockets(4));
  for (GpuView& rank : ranks) rank.numa_nodes = {1};
  CHECK(choose_gpus("a", ranks, false) == std::vector<int>{0, 1, 2, 3});
  // And a GPU of which nothing is known is near to all.
  for (GpuView& rank : ranks) {
    for (SeenGpu& gpu : rank.gpus) gpu.numa_node = -1;
  }
  CHECK(choose_gpus("a", ranks, false) == std::vector<int>{0, 1, 2, 3});
}

TEST_CASE("ranks that see different GPUs take distinct ones, in their own numbering") {
  // One each, as Slurm's --gpus-per-task gives.
  std::vector<GpuView> ranks(3);
  for (size_t rank = 0; rank < 3; ++rank) ranks[rank].gpus = {{std::to_string(rank), -1}};
  CHECK(choose_gpus("a", ranks, false) == std::vector<int>{0, 0, 0});
  // The same two in other orders: no two take one.
  ranks = {{.gpus = {{"a", -1}, {"b", -1}}, .numa_nodes = {}},
           {.gpus = {{"b", -1}, {"a", -1}}, .numa_nodes = {}}};
  CHECK(choose_gpus("a", ranks, false) == std::vector<int>{0, 0});
  // The first rank gives way, as the second sees one alone.
  ranks = {{.gpus = {{"a", -1}, {"b", -1}}, .numa_nodes = {}},
           {.gpus = {{"a", -1}}, .numa_nodes = {}}};
  CHECK(choose_gpus("a", ranks, false) == std::vector<int>{1, 0});
}

TEST_CASE("any choice is the lowest one, near if it can be, that trying all finds") {
  std::mt19937 random(7);
  const auto below = [&](int bound) { return static_cast<int>(random() % unsigned(bound)); };
  int near_choices = 0;
  int far_choices = 0;
  int impossible = 0;
  for (int round = 0; round < 4000; ++round) {
    const int num_gpus = 1 + below(6);
    std::vector<SeenGpu> gpus;
    for (int gpu = 0; gpu < num_gpus; ++gpu) gpus.push_back({std::to_string(gpu), below(4) - 1});
    std::vector<GpuView> ranks(size_t(1 + below(5)));
    for (GpuView& rank : ranks) {
      rank.gpus = gpus;
      std::shuffle(rank.gpus.begin(), rank.gpus.end(), random);
      rank.gpus.resize(size_t(1 + below(num_gpus)));
      for (int node = 0; node < 3; ++node) {
        if (below(3) == 0) rank.numa_nodes.push_back(node);
      }
    }
    const auto near = by_trying_all(ranks, true);
    const auto want = near ? near : by_trying_all(ranks, false);
    if (want) {
      ++(near ? near_choices : far_choices);
      CHECK(choose_gpus("a", ranks, false) == *want);
      CHECK(choose_gpus("a", ranks, true) == *want);
    } else {
      ++impossible;
      CHECK_THROWS_AS(choose_gpus("a", ranks, false), InputError);
      CHECK(choose_gpus("a", ranks, true).size() == ranks.size());
    }
  }
  CHECK(near_choices > 100);
  CHECK(far_choices > 100);
  CHECK(impossible > 100);
}

TEST_CASE("more ranks than GPUs is an error that names host, ranks, GPUs and --share-gpu") {
  const auto ranks = same_view(3, {{"0000:1b:00.0", 0}, {"0000:3d:00.0", 1}});
  CHECK_THROWS_AS(choose_gpus("b", ranks, false), InputError);
  CHECK_THROWS_WITH(choose_gpus("b", ranks, false),
                    "host b: 3 ranks cannot have a GPU each, as they see 2 in all (0000:1b:00.0, "
                    "0000:3d:00.0); start fewer ranks there, or let them share with --share-gpu");
  std::vector<GpuView> blind = same_view(2, two_sockets(1));
  blind[1].gpus.clear();
  for (const bool share : {false, true}) {
    CHECK_THROWS_AS(choose_gpus("b", blind, share), InputError);
    CHECK_THROWS_WITH(choose_gpus("b", blind, share),
                      ContainsSubstring("host b: its rank 1 sees no GPU"));
  }
}

TEST_CASE("ranks that share GPUs are spread evenly") {
  for (int gpus = 1; gpus <= 5; ++gpus) {
    for (int ranks = gpus + 1; ranks <= 12; ++ranks) {
      const auto chosen = choose_gpus("a", same_view(ranks, two_sockets(gpus)), true);
      REQUIRE(chosen.size() == static_cast<size_t>(ranks));
      CHECK(std::is_sorted(chosen.begin(), chosen.end()));
      for (int gpu = 0; gpu < gpus; ++gpu) {
        const auto load = std::count(chosen.begin(), chosen.end(), gpu);
        CHECK(load >= ranks / gpus);
        CHECK(load <= (ranks + gpus - 1) / gpus);
      }
    }
  }
}
