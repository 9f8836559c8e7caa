// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "hashep/router.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep {

/// The assignments of each expert where a router sends all tokens of a stream that ends:
/// [num_experts]. For routers that look at more than a token's id; a table's loads follow from
/// counts (table_loads). Memory does not grow with a mapped file. Throws RunError for an endless
/// stream, InputError as the router does.
std::vector<int64_t> routed_loads(const Router& router, const TokenStream& stream, int64_t seq_len);

}  // namespace hashep
