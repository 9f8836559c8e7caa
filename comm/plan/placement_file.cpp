// SPDX-License-Identifier: Apache-2.0
#include "comm/plan/placement_file.hpp"

#include <optional>

#include "comm/plan/plan_stats.hpp"
#include "core/format.hpp"
#include "core/quote.hpp"
#include "core/strict_json.hpp"
#include "hashep/error.hpp"
#include "hashep/version.hpp"

namespace hashep {
namespace {

constexpr const char* kFormat = "hashep placement 1";

nlohmann::ordered_json layer_json(const Placement& placement, const std::vector<int64_t>& counts,
                                  const NodeMap& nodes) {
  nlohmann::ordered_json experts = nlohmann::ordered_json::array();
  for (int rank = 0; rank < placement.ep_size(); ++rank) {
    const auto local = placement.local_experts(rank);
    experts.push_back(std::vector<int32_t>(local.begin(), local.end()));
  }
  const LoadFactors load = load_factors(counts, placement);
  return {{"expert_max_over_mean", load.expert_max_over_mean},
          {"rank_max_over_mean", load.rank_max_over_mean},
          {"node_max_over_mean", node_load_factor(counts, placement, nodes)},
          {"expert_counts", counts},
          {"experts", std::move(experts)}};
}

/// Throws unless the file's `key` is what the job has.
void require_size(const nlohmann::json& root, const std::string& path, const char* key,
                  int64_t wanted, const char* what) {
  const auto found = root.find(key);
  const auto size = found == root.end() ? std::nullopt : whole_number(*found);
  if (!size) throw InputError(path + ": " + key + ": missing or not a whole number");
  if (*size != wanted) {
    throw InputError(path + ": the placement is for " + std::to_string(*size) + " " + what +
                     ", the job has " + std::to_string(wanted));
  }
}

Placement read_layer(const nlohmann::json& layer, const std::string& source,
                     const PlacementShape& shape) {
  const auto experts = layer.is_object() ? layer.find("experts") : layer.end();
  if (experts == layer.end() || !experts->is_array() || std::ssize(*experts) != shape.ep_size) {
    throw InputError(source + ": experts: expected a list for each of " +
                     std::to_string(shape.ep_size) + " ranks");
  }
  std::vector<int32_t> rank_of(shape.num_experts, -1);
  for (int rank = 0; rank < shape.ep_size; ++rank) {
    const nlohmann::json& local = (*experts)[rank];
    if (!local.is_array()) {
      throw InputError(source + ": rank " + std::to_string(rank) + ": not a list of experts");
    }
    for (const nlohmann::json& entry : local) {
      const auto expert = whole_number(entry);
      if (!expert || *expert < 0 || *expert >= shape.num_experts) {
        throw InputError(source + ": rank " + std::to_string(rank) + ": " +
                         (entry.is_number() ? entry.dump() : quote(entry.dump())) +
                         " is not an expert in [0, " + std::to_string(shape.num_experts) + ")");
      }
      int32_t& owner = rank_of[*expert];
      if (owner >= 0) {
        throw InputError(source + ": expert " + std::to_string(*expert) + " is on rank " +
                         std::to_string(owner) + " and on rank " + std::to_string(rank));
      }
      owner = rank;
    }
  }
  for (size_t expert = 0; expert < rank_of.size(); ++expert) {
    if (rank_of[expert] < 0) {
      throw InputError(source + ": expert " + std::to_string(expert) + " is on no rank");
    }
  }
  return {std::move(rank_of), shape.ep_size};
}

}  // namespace

std::string placement_text(const PlacementRecord& record) {
  const Placement& first = record.layers.at(0);
  const NodeMap nodes = nodes_of_equal_size(first.ep_size(), record.ranks_per_node);
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  for (size_t layer = 0; layer < record.layers.size(); ++layer) {
    layers.push_back(layer_json(record.layers[layer], record.expert_counts.at(layer), nodes));
  }
  const std::string digest =
      format("0x%016llx", static_cast<unsigned long long>(record.corpus_digest));
  const nlohmann::ordered_json root{
      {"format", kFormat},
      {"version", version()},
      {"commit", commit()},
      {"method", record.method},
      {"router", record.router},
      {"corpus",
       {{"tokens", record.corpus_tokens}, {"digest", digest.data()}, {"file", record.corpus}}},
      {"num_layers", record.layers.size()},
      {"num_experts", first.num_experts()},
      {"ranks", first.ep_size()},
      {"ranks_per_node", record.ranks_per_node},
      {"layers", std::move(layers)}};
  return root.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::vector<Placement> load_placements(const std::string& path, const PlacementShape& shape) {
  const nlohmann::json root = read_json_object(path);
  const auto format = root.find("format");
  if (format == root.end() || *format != kFormat) {
    throw InputError(path + ": not a placement file (format: expected \"" + kFormat + "\")");
  }
  require_size(root, path, "ranks", shape.ep_size, "ranks");
  require_size(root, path, "num_layers", shape.num_layers, "layers");
  require_size(root, path, "num_experts", shape.num_experts, "experts");
  const auto layers = root.find("layers");
  if (layers == root.end() || !layers->is_array() || std::ssize(*layers) != shape.num_layers) {
    throw InputError(path + ": layers: expected a list of " + std::to_string(shape.num_layers));
  }
  std::vector<Placement> placements;
  for (const nlohmann::json& layer : *layers) {
    placements.push_back(
        read_layer(layer, path + ": layer " + std::to_string(placements.size()), shape));
  }
  return placements;
}

}  // namespace hashep
