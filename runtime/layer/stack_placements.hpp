// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hashep/node_map.hpp"
#include "hashep/placement.hpp"
#include "hashep/router.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep {

/// How experts are placed on ranks.
enum class PlacementKind { contiguous, balanced, file };

struct PlacementSource {
  PlacementKind kind = PlacementKind::contiguous;
  std::string path = {};  // PlacementKind::file

  bool operator==(const PlacementSource&) const = default;
};

/// Tokens that tables and placements are balanced by, at most, where they are made for a run.
inline constexpr int64_t kCountedTokens = int64_t{1} << 20;

/// counts[layer][expert]: assignments of the first `limit` tokens of the stream (all of a file that
/// is shorter). Throws InputError on ids that the routers refuse.
std::vector<std::vector<int64_t>> count_expert_rows(
    const std::vector<std::unique_ptr<Router>>& routers, const TokenStream& stream, int64_t seq_len,
    int64_t limit);

/// Placements of all layers. `balanced` evens the load that the first kCountedTokens tokens of the
/// stream put on each layer's experts, over ranks and over nodes. Local; the same on all ranks.
/// Throws InputError on a bad placement file, or one for another job.
std::vector<Placement> make_placements(const PlacementSource& source,
                                       const std::vector<std::unique_ptr<Router>>& routers,
                                       const TokenStream& stream, int64_t seq_len,
                                       const NodeMap& nodes);

/// The same for ranks of one node, by kind.
std::vector<Placement> make_placements(PlacementKind kind,
                                       const std::vector<std::unique_ptr<Router>>& routers,
                                       const TokenStream& stream, int64_t seq_len, int ep_size);

/// A digest of all layers' placements, for ranks to compare.
uint64_t placement_digest(const std::vector<Placement>& placements);

}  // namespace hashep
