// SPDX-License-Identifier: Apache-2.0
#include "launch/binding_report.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "comm/gather.hpp"

namespace hashep {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMaxLines = 64;

ordered_json text_or_null(const std::string& text) {
  return text.empty() ? ordered_json(nullptr) : ordered_json(text);
}

ordered_json to_json(const GpuBinding& binding) {
  return {{"host", binding.host},
          {"gpu", binding.gpu},
          {"name", binding.name},
          {"pci", binding.pci_id},
          {"numa_node",
           binding.numa_node < 0 ? ordered_json(nullptr) : ordered_json(binding.numa_node)},
          {"nic", text_or_null(binding.nic)},
          {"cores", text_or_null(binding.cores)},
          {"dispute", text_or_null(binding.dispute)}};
}

std::string text_of(const ordered_json& text) {
  return text.is_null() ? "" : text.get<std::string>();
}

GpuBinding from_json(const ordered_json& json) {
  const ordered_json& numa_node = json.at("numa_node");
  return {.host = json.at("host"),
          .gpu = json.at("gpu"),
          .name = json.at("name"),
          .pci_id = json.at("pci"),
          .numa_node = numa_node.is_null() ? -1 : numa_node.get<int>(),
          .nic = text_of(json.at("nic")),
          .cores = text_of(json.at("cores")),
          .dispute = text_of(json.at("dispute"))};
}

std::string rank_text(size_t rank) {
  return "rank " + std::to_string(rank);
}

std::string count_of(size_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

std::string line(size_t rank, const GpuBinding& binding) {
  const std::string node = binding.numa_node < 0 ? "-" : std::to_string(binding.numa_node);
  return rank_text(rank) + ": host " + binding.host + ", GPU " + std::to_string(binding.gpu) + " " +
         binding.name + ", PCI " + binding.pci_id + ", NUMA node " + node + ", NIC " +
         (binding.nic.empty() ? "-" : binding.nic) + "\n";
}

/// The first two ranks that share a GPU, and how many GPUs are shared.
std::string sharing_note(std::span<const GpuBinding> bindings) {
  std::map<std::pair<std::string, std::string>, size_t> first_rank;  // of host and PCI id
  std::map<std::pair<std::string, std::string>, std::pair<size_t, size_t>> shared;
  for (size_t rank = 0; rank < bindings.size(); ++rank) {
    const std::pair gpu(bindings[rank].host, bindings[rank].pci_id);
    const auto [first, is_new] = first_rank.try_emplace(gpu, rank);
    if (!is_new) shared.try_emplace(gpu, first->second, rank);
  }
  if (shared.empty()) return "";
  const auto least =
      std::min_element(shared.begin(), shared.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  const auto [one, other] = least->second;
  return "note: " + count_of(shared.size(), "GPU") + " shared, by ranks " + std::to_string(one) +
         " and " + std::to_string(other) + " first: results hold, times say little\n";
}

std::string cores_note(std::span<const GpuBinding> bindings) {
  const auto is_bound = [](const GpuBinding& binding) { return !binding.cores.empty(); };
  const auto first = std::find_if(bindings.begin(), bindings.end(), is_bound);
  if (first == bindings.end()) return "";
  const auto bound = std::count_if(bindings.begin(), bindings.end(), is_bound);
  return "note: " + count_of(static_cast<size_t>(bound), "rank") +
         " bound to cores near the GPU, rank " + std::to_string(first - bindings.begin()) + " to " +
         first->cores + " (--bind-cpu off leaves them)\n";
}

std::string dispute_note(std::span<const GpuBinding> bindings) {
  const auto is_disputed = [](const GpuBinding& binding) { return !binding.dispute.empty(); };
  const auto first = std::find_if(bindings.begin(), bindings.end(), is_disputed);
  if (first == bindings.end()) return "";
  const auto all = std::count_if(bindings.begin(), bindings.end(), is_disputed);
  std::string text =
      "note: " + rank_text(static_cast<size_t>(first - bindings.begin())) + ": " + first->dispute;
  if (all > 1) text += " (and so for " + std::to_string(all - 1) + " more)";
  return text + "\n";
}

}  // namespace

std::vector<GpuBinding> gather_bindings(const Communicator& comm, Watch& watch,
                                        const GpuBinding& own) {
  const std::string text =
      to_json(own).dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  std::vector<GpuBinding> bindings;
  for (const std::string& of_rank : gather_texts(comm, watch, text)) {
    bindings.push_back(from_json(ordered_json::parse(of_rank)));
  }
  return bindings;
}

std::string binding_lines(std::span<const GpuBinding> bindings) {
  std::string text;
  for (size_t rank = 0; rank < std::min(bindings.size(), kMaxLines); ++rank) {
    text += line(rank, bindings[rank]);
  }
  if (bindings.size() > kMaxLines) {
    text += "... and " + std::to_string(bindings.size() - kMaxLines) + " more\n";
  }
  return text + sharing_note(bindings) + cores_note(bindings) + dispute_note(bindings);
}

ordered_json binding_json(std::span<const GpuBinding> bindings) {
  ordered_json all = ordered_json::array();
  for (size_t rank = 0; rank < bindings.size(); ++rank) {
    ordered_json of_rank{{"rank", rank}};
    of_rank.update(to_json(bindings[rank]));
    all.push_back(std::move(of_rank));
  }
  return all;
}

}  // namespace hashep
