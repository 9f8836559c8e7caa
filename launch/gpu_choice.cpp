// SPDX-License-Identifier: Apache-2.0
#include "launch/gpu_choice.hpp"

#include <algorithm>
#include <map>
#include <optional>

#include "hashep/error.hpp"

namespace hashep {
namespace {

constexpr int kNobody = -1;

/// A rank's possible choice: one of its own numbers, and the node's GPU that this stands for.
struct Option {
  int index = 0;
  int gpu = 0;
};
using Options = std::vector<std::vector<Option>>;  // [ranks], each ascending by index

/// Gives GPUs to ranks, each to one rank at most.
class Matching {
 public:
  Matching(const Options& options, int num_gpus) : options_(options), owner_(num_gpus, kNobody) {}

  /// Gives `rank` a GPU, others changing theirs if need be. The ranks below `first_free` keep what
  /// they have. (One round of Kuhn's algorithm.)
  bool place(int rank, int first_free) {
    std::vector<bool> tried(owner_.size(), false);
    return place(rank, first_free, tried);
  }

  void give(int gpu, int rank) { owner_[gpu] = rank; }
  int owner(int gpu) const { return owner_[gpu]; }

 private:
  bool place(int rank, int first_free, std::vector<bool>& tried) {
    for (const Option& option : options_[rank]) {
      const auto gpu = static_cast<size_t>(option.gpu);
      if (tried[gpu]) continue;
      tried[gpu] = true;
      const int other = owner_[gpu];
      const bool is_free =
          other == kNobody || (other >= first_free && place(other, first_free, tried));
      if (!is_free) continue;
      owner_[gpu] = rank;
      return true;
    }
    return false;
  }

  const Options& options_;
  std::vector<int> owner_;  // [num_gpus]: rank, or kNobody
};

/// Whether the ranks from `first_free` on can all have a GPU, those below holding `taken`.
bool can_complete(const Options& options, int num_gpus, std::span<const int> taken) {
  Matching matching(options, num_gpus);
  const int first_free = static_cast<int>(taken.size());
  for (int rank = 0; rank < first_free; ++rank) {
    matching.give(taken[rank], rank);
  }
  for (int rank = first_free; rank < static_cast<int>(options.size()); ++rank) {
    if (!matching.place(rank, first_free)) return false;
  }
  return true;
}

/// The lexicographically lowest choice of distinct GPUs, if there is any.
std::optional<std::vector<int>> lowest_matching(const Options& options, int num_gpus) {
  if (!can_complete(options, num_gpus, {})) return std::nullopt;
  std::vector<int> chosen;
  std::vector<int> taken;  // the node's GPUs, by rank
  for (const std::vector<Option>& of_rank : options) {
    for (const Option& option : of_rank) {
      if (std::find(taken.begin(), taken.end(), option.gpu) != taken.end()) continue;
      taken.push_back(option.gpu);
      if (can_complete(options, num_gpus, taken)) {
        chosen.push_back(option.index);
        break;
      }
      taken.pop_back();
    }
  }
  return chosen;
}

bool is_near(const SeenGpu& gpu, const GpuView& view) {
  if (gpu.numa_node < 0 || view.numa_nodes.empty()) return true;
  return std::find(view.numa_nodes.begin(), view.numa_nodes.end(), gpu.numa_node) !=
         view.numa_nodes.end();
}

std::string list_of(const std::map<std::string, int>& gpus) {
  std::string list;
  for (const auto& [pci_id, number] : gpus) list += (list.empty() ? "" : ", ") + pci_id;
  return list;
}

}  // namespace

std::vector<int> choose_gpus(const std::string& host, std::span<const GpuView> ranks, bool share) {
  std::map<std::string, int> gpus;  // the node's, numbered as they are met
  Options all(ranks.size());
  Options near(ranks.size());
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const GpuView& view = ranks[rank];
    if (view.gpus.empty()) {
      throw InputError("host " + host + ": its rank " + std::to_string(rank) +
                       " sees no GPU (what is CUDA_VISIBLE_DEVICES there?)");
    }
    for (size_t index = 0; index < view.gpus.size(); ++index) {
      const SeenGpu& gpu = view.gpus[index];
      const int number = gpus.try_emplace(gpu.pci_id, static_cast<int>(gpus.size())).first->second;
      const Option option{static_cast<int>(index), number};
      all[rank].push_back(option);
      if (is_near(gpu, view)) near[rank].push_back(option);
    }
  }
  const int num_gpus = static_cast<int>(gpus.size());
  if (const auto chosen = lowest_matching(near, num_gpus)) return *chosen;
  if (const auto chosen = lowest_matching(all, num_gpus)) return *chosen;
  if (!share) {
    throw InputError("host " + host + ": " + std::to_string(ranks.size()) +
                     " ranks cannot have a GPU each, as they see " + std::to_string(num_gpus) +
                     " in all (" + list_of(gpus) +
                     "); start fewer ranks there, or let them share with --share-gpu");
  }
  std::vector<int> chosen;
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    chosen.push_back(static_cast<int>(rank * ranks[rank].gpus.size() / ranks.size()));
  }
  return chosen;
}

}  // namespace hashep
