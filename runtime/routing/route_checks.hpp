// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "hashep/router.hpp"

namespace hashep {

/// Whether an id that is not padding has a place in the vocabulary; one comparison.
inline bool is_known_id(int32_t id, int64_t vocab_size) {
  return static_cast<uint32_t>(id) < static_cast<uint64_t>(vocab_size);
}

/// "token 1002": a token of a batch, counted from where the batch's positions are.
std::string token_text(const TokenBatch& batch, size_t token);

/// Throws the InputError of a token whose id is outside [0, vocab_size).
[[noreturn]] void throw_unknown_id(const TokenBatch& batch, size_t token, int64_t vocab_size);

/// Throws InputError, naming `source`, unless 1 <= vocab_size, 1 <= top_k <= num_experts, and
/// experts and ids fit int32.
void require_router_sizes(int64_t vocab_size, int64_t num_experts, int64_t top_k,
                          std::string_view source);

/// Throws RunError unless the batch's own sizes agree and `experts` is [tokens, top_k]. O(1).
void require_expert_span(const TokenBatch& batch, const RoutedLayer& layer,
                         std::span<const int32_t> experts);

/// Has the router write a batch's experts, [tokens, top_k]. Throws InputError where they are not as
/// Router::route promises: a padding token has one, another token has one that is outside [0,
/// num_experts), or one twice. Trusted routers are believed.
void route_checked(const Router& router, const TokenBatch& batch, const RoutedLayer& layer,
                   std::span<int32_t> experts);

}  // namespace hashep
