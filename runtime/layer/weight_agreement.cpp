// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/weight_agreement.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "core/narrow.hpp"

namespace hashep {
namespace {

using LayerExpert = std::pair<int64_t, int32_t>;

std::string digest_text(uint64_t digest) {
  return "digest " + std::to_string(digest);
}

/// The experts of a rank that another one reads samples of: evenly spaced over all it owns.
std::vector<LayerExpert> sampled_experts(std::span<const Placement> placements, int rank) {
  std::vector<LayerExpert> all;
  for (size_t layer = 0; layer < placements.size(); ++layer) {
    for (const int32_t expert : placements[layer].local_experts(rank)) {
      all.emplace_back(static_cast<int64_t>(layer), expert);
    }
  }
  const int64_t count = std::min(kSampledExperts, std::ssize(all));
  std::vector<LayerExpert> sampled;
  for (int64_t i = 0; i < count; ++i) {
    sampled.push_back(all[i * std::ssize(all) / count]);
  }
  return sampled;
}

/// How far the rank is whose experts a rank samples: on another node, where there are several of
/// consecutive ranks.
int distance_to_sampled(const NodeMap& nodes) {
  if (nodes.num_nodes() == 1) return 1;
  size_t most = 0;
  for (int node = 0; node < nodes.num_nodes(); ++node) {
    most = std::max(most, nodes.ranks_of(node).size());
  }
  return static_cast<int>(most);
}

}  // namespace

std::vector<Setting> weight_settings(const ModelConfig& config, const WeightDigests& digests) {
  std::vector<Setting> settings;
  for (size_t layer = 0; layer < digests.layers.size(); ++layer) {
    const std::string of_layer = " of layer " + std::to_string(layer);
    if (config.shape().has_gate_weights(static_cast<int64_t>(layer))) {
      settings.emplace_back("the gate" + of_layer, digest_text(digests.layers[layer].gate));
    }
    if (config.num_shared_experts > 0) {
      settings.emplace_back("the shared experts" + of_layer,
                            digest_text(digests.layers[layer].shared));
    }
  }
  return settings;
}

void require_same_experts(const Communicator& comm, Watch& watch, const WeightSource& weights,
                          std::span<const Placement> placements, const NodeMap& nodes,
                          const WeightDigests& digests) {
  if (comm.size() == 1) return;
  const int distance = distance_to_sampled(nodes) % comm.size();
  const int owner = (comm.rank() + distance) % comm.size();
  const int reader = (comm.rank() + comm.size() - distance) % comm.size();

  struct Memory {
    std::vector<uint64_t> mine;
    std::vector<uint64_t> theirs;
  };
  const auto memory = std::make_shared<Memory>();
  std::vector<uint64_t>& mine = memory->mine;
  std::vector<uint64_t>& theirs = memory->theirs;
  for (const auto& [layer, expert] : sampled_experts(placements, comm.rank())) {
    mine.push_back(digests.layers[layer].experts.at(expert));
  }
  const std::vector<LayerExpert> sampled = sampled_experts(placements, owner);
  theirs.resize(sampled.size());
  MPI_Request received = MPI_REQUEST_NULL;
  MPI_Request sent = MPI_REQUEST_NULL;
  check_mpi(MPI_Irecv(theirs.data(), narrow<int>(std::ssize(theirs), "digests"), MPI_UINT64_T,
                      owner, 0, comm.get(), &received),
            "MPI_Irecv");
  check_mpi(MPI_Isend(mine.data(), narrow<int>(std::ssize(mine), "digests"), MPI_UINT64_T, reader,
                      0, comm.get(), &sent),
            "MPI_Isend");
  watch.wait(received, memory);
  watch.wait(sent, memory);
  agree(comm, watch, [&] {
    for (size_t i = 0; i < sampled.size(); ++i) {
      const auto& [layer, expert] = sampled[i];
      const std::optional<uint64_t> here = weights.sample_expert(layer, expert);
      if (!here || *here == theirs[i]) continue;
      throw InputError("ranks disagree on the weights of layer " + std::to_string(layer) +
                       ", expert " + std::to_string(expert) + ": rank " +
                       std::to_string(comm.rank()) + " has " + digest_text(*here) + ", rank " +
                       std::to_string(owner) + " has " + digest_text(theirs[i]));
    }
  });
}

}  // namespace hashep
