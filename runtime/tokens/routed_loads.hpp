// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "hashep/router.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep {

/// Layers 0, 1 ... of a stack.
std::vector<RoutedLayer> routed_layers(int64_t num_layers, int64_t num_experts, int top_k);

/// loads[i][expert]: assignments of the first `limit` tokens of a stream (all of one that ends
/// earlier) in layers[i]. For routers that look at more than a token's id; a table's loads follow
/// from counts (table_loads). Memory does not grow with a mapped file. Throws InputError as the
/// router does, and where its experts are not as Router::route promises.
std::vector<std::vector<int64_t>> routed_loads(const Router& router,
                                               std::span<const RoutedLayer> layers,
                                               const TokenStream& stream, int64_t seq_len,
                                               int64_t limit);

}  // namespace hashep
