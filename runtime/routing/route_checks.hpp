// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "hashep/token_batch.hpp"

namespace hashep {

/// Whether an id that is not padding has a place in the vocabulary; one comparison.
inline bool is_known_id(int32_t id, int64_t vocab_size) {
  return static_cast<uint32_t>(id) < static_cast<uint64_t>(vocab_size);
}

/// Throws the InputError of a token whose id is outside [0, vocab_size).
[[noreturn]] void throw_unknown_id(int64_t stream_index, int32_t id, int64_t vocab_size);

/// Throws InputError, naming `source`, unless 1 <= vocab_size, 1 <= top_k <= num_experts, and
/// experts and ids fit int32.
void require_router_sizes(int64_t vocab_size, int64_t num_experts, int64_t top_k,
                          std::string_view source);

/// Throws RunError unless `experts` is [batch.ids.size() * top_k].
void require_expert_span(const TokenBatch& batch, int top_k, std::span<const int32_t> experts);

}  // namespace hashep
