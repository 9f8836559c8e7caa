// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/plan/placement_digest.hpp"
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

/// Placements of all layers. `balanced` evens the load that the first kCountedTokens tokens of the
/// stream put on each layer's experts, over ranks and over nodes. Local; the same on all ranks.
/// Throws InputError on a bad placement file, or one for another job.
std::vector<Placement> make_placements(const PlacementSource& source, const Router& router,
                                       std::span<const RoutedLayer> layers,
                                       const TokenStream& stream, int64_t seq_len,
                                       const NodeMap& nodes);

}  // namespace hashep
