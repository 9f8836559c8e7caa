// SPDX-License-Identifier: Apache-2.0
#include "launch/gpu_binding.hpp"

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "comm/agreement.hpp"
#include "comm/gather.hpp"
#include "core/narrow.hpp"
#include "launch/gpu_choice.hpp"
#include "launch/process/launcher_rank.hpp"

namespace hashep {
namespace {

using Json = nlohmann::json;

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return name.data();
}

/// What rank 0 needs to know of a rank.
struct RankView {
  std::string host;
  GpuView view;
};

std::string to_text(const RankView& rank) {
  Json gpus = Json::array();
  for (const SeenGpu& gpu : rank.view.gpus) gpus.push_back({gpu.pci_id, gpu.numa_node});
  const Json json = {rank.host, std::move(gpus), rank.view.numa_nodes};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

RankView to_view(const std::string& text) {
  const Json json = Json::parse(text);
  RankView rank{.host = json.at(0), .view = {.gpus = {}, .numa_nodes = json.at(2)}};
  for (const Json& gpu : json.at(1)) rank.view.gpus.push_back({gpu.at(0), gpu.at(1)});
  return rank;
}

/// The choice of every rank, on every node. [ep_size]
std::vector<int64_t> choose_on_all_nodes(const NodeMap& nodes,
                                         const std::vector<std::string>& texts, bool share) {
  std::vector<int64_t> chosen(texts.size());
  for (int node = 0; node < nodes.num_nodes(); ++node) {
    const auto ranks = nodes.ranks_of(node);
    std::string host;
    std::vector<GpuView> views;
    for (const int32_t rank : ranks) {
      RankView seen = to_view(texts[rank]);
      if (views.empty()) host = std::move(seen.host);
      views.push_back(std::move(seen.view));
    }
    const std::vector<int> of_node = choose_gpus(host, views, share);
    for (size_t i = 0; i < ranks.size(); ++i) chosen[ranks[i]] = of_node[i];
  }
  return chosen;
}

}  // namespace

GpuBinding bind_gpu(const Communicator& comm, const Topology& topology, Watch& watch,
                    std::span<const VisibleGpu> gpus, MachineTopology& machine,
                    const GpuBindingOptions& options) {
  RankView own{.host = host_name(), .view = {.gpus = {}, .numa_nodes = machine.bound_numa_nodes()}};
  for (const VisibleGpu& gpu : gpus) {
    own.view.gpus.push_back({gpu.pci_id, machine.numa_node_of(gpu.pci_id)});
  }
  const std::vector<std::string> texts = gather_texts(comm, watch, to_text(own));
  std::vector<int64_t> chosen;
  agree(comm, watch, [&] {
    if (comm.rank() == 0) chosen = choose_on_all_nodes(topology.nodes, texts, options.share_gpu);
  });
  const int64_t index = scatter_word(comm, watch, chosen);

  const VisibleGpu& gpu = gpus[index];
  GpuBinding binding{
      .host = own.host,
      .gpu = narrow<int>(index, "GPU"),
      .name = gpu.name,
      .pci_id = gpu.pci_id,
      .numa_node = own.view.gpus[index].numa_node,
      .nic = machine.nearest_nic(gpu.pci_id),
      .cores = {},
      .dispute = launcher_disagreement([](const char* name) { return std::getenv(name); },
                                       topology.nodes.local_index(comm.rank()))};
  if (options.bind_cpu) binding.cores = machine.bind_to(binding.numa_node);
  return binding;
}

}  // namespace hashep
