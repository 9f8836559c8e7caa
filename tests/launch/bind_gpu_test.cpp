// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "comm/agreement.hpp"
#include "comm/gather.hpp"
#include "launch/binding_report.hpp"
#include "launch/gpu_binding.hpp"
#include "launch/process/launcher_rank.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/ranks.hpp"

using namespace hashep;

namespace {

// Those of the machine file.
const std::vector<VisibleGpu> kGpus = {{"first", "0000:1b:00.0"},
                                       {"second", "0000:3d:00.0"},
                                       {"third", "0000:9b:00.0"},
                                       {"fourth", "0000:bb:00.0"}};
const std::vector<int> kNumaNodes = {0, 0, 2, 2};
const std::vector<std::string> kNics = {"mlx5_1", "mlx5_1", "mlx5_2", "mlx5_2"};

MachineTopology machine() {
  return MachineTopology::from_xml(std::string(HASHEP_TEST_MACHINES) + "/two_sockets.xml");
}

/// As many of kGpus as there are ranks, or one fewer.
std::span<const VisibleGpu> first_gpus(int count) {
  return std::span(kGpus).first(count);
}

}  // namespace

TEST_CASE("each word that is scattered comes to its rank") {
  test::Ranks ranks;
  std::vector<int64_t> words;
  for (int rank = 0; ranks.comm.rank() == 0 && rank < ranks.comm.size(); ++rank) {
    words.push_back(100 + rank);
  }
  CHECK(scatter_word(ranks.comm, ranks.watch, words) == 100 + ranks.comm.rank());
}

TEST_CASE("ranks of one node take one GPU each, in order, and rank 0 knows of all") {
  test::Ranks ranks;
  const Topology topology = find_topology(ranks.comm, ranks.watch);
  MachineTopology own_machine = machine();
  const GpuBinding own =
      bind_gpu(ranks.comm, topology, ranks.watch, kGpus, own_machine, GpuBindingOptions{});
  const auto rank = static_cast<size_t>(ranks.comm.rank());
  CHECK(own.gpu == ranks.comm.rank());
  CHECK(own.name == kGpus[rank].name);
  CHECK(own.pci_id == kGpus[rank].pci_id);
  CHECK(own.numa_node == kNumaNodes[rank]);
  CHECK(own.nic == kNics[rank]);
  CHECK(own.cores.empty());  // the file is of another machine
  CHECK(own.dispute.empty());

  const auto all = gather_bindings(ranks.comm, ranks.watch, own);
  CHECK(all.size() == (rank == 0 ? static_cast<size_t>(ranks.comm.size()) : 0));
  for (size_t r = 0; r < all.size(); ++r) {
    CHECK(all[r].host == own.host);
    CHECK(all[r].gpu == static_cast<int>(r));
    CHECK(all[r].pci_id == kGpus[r].pci_id);
    CHECK(all[r].numa_node == kNumaNodes[r]);
    CHECK(all[r].nic == kNics[r]);
  }
}

TEST_CASE("each node begins with its first GPU, whatever the order of ranks") {
  test::Ranks ranks;
  const Topology topology = topology_by_label(ranks.comm, ranks.watch, ranks.comm.rank() % 2);
  MachineTopology own_machine = machine();
  const GpuBinding own =
      bind_gpu(ranks.comm, topology, ranks.watch, kGpus, own_machine, GpuBindingOptions{});
  CHECK(own.gpu == ranks.comm.rank() / 2);
  CHECK(own.dispute.empty() ==
        (ranks.comm.rank() == 0 || !launcher_rank([](const char* name) { return getenv(name); })));
}

TEST_CASE("ranks that see one GPU each take it") {
  test::Ranks ranks;
  const Topology topology = find_topology(ranks.comm, ranks.watch);
  MachineTopology own_machine = machine();
  const auto rank = static_cast<size_t>(ranks.comm.rank());
  const GpuBinding own =
      bind_gpu(ranks.comm, topology, ranks.watch, std::span(kGpus).subspan(rank, 1), own_machine,
               GpuBindingOptions{});
  CHECK(own.gpu == 0);
  CHECK(own.pci_id == kGpus[rank].pci_id);
}

TEST_CASE("more ranks than GPUs is an error on all ranks that rank 0 reports, unless they share") {
  test::Ranks ranks;
  if (ranks.comm.size() == 1) return;
  const Topology topology = find_topology(ranks.comm, ranks.watch);
  MachineTopology own_machine = machine();
  const auto gpus = first_gpus(ranks.comm.size() - 1);
  bool thrown = false;
  try {
    bind_gpu(ranks.comm, topology, ranks.watch, gpus, own_machine, GpuBindingOptions{});
  } catch (const CollectiveInputError& error) {
    thrown = true;
    CHECK(error.is_reporter() == (ranks.comm.rank() == 0));
    if (error.is_reporter()) {
      CHECK_THAT(error.what(), ContainsSubstring(std::to_string(ranks.comm.size()) + " ranks") &&
                                   ContainsSubstring("--share-gpu"));
    }
  }
  CHECK(thrown);
  const GpuBinding own = bind_gpu(ranks.comm, topology, ranks.watch, gpus, own_machine,
                                  GpuBindingOptions{.share_gpu = true});
  CHECK(own.gpu == ranks.comm.rank() * (ranks.comm.size() - 1) / ranks.comm.size());
  const auto all = gather_bindings(ranks.comm, ranks.watch, own);
  if (ranks.comm.rank() == 0) {
    CHECK_THAT(binding_lines(all), ContainsSubstring("\nnote: 1 GPU shared, by ranks 0 and 1 "));
  }
}
