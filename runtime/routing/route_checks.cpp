// SPDX-License-Identifier: Apache-2.0
#include "runtime/routing/route_checks.hpp"

#include <limits>
#include <string>

#include "hashep/error.hpp"

namespace hashep {

void throw_unknown_id(int64_t stream_index, int32_t id, int64_t vocab_size) {
  throw InputError("token " + std::to_string(stream_index) + " has id " + std::to_string(id) +
                   ", outside [0, " + std::to_string(vocab_size) + ")");
}

void require_router_sizes(int64_t vocab_size, int64_t num_experts, int64_t top_k,
                          std::string_view source) {
  constexpr int64_t kMaximum = std::numeric_limits<int32_t>::max();
  const auto require = [&](std::string_view name, int64_t value, int64_t maximum,
                           std::string_view maximum_name) {
    if (value >= 1 && value <= maximum) return;
    throw InputError(std::string(source) + ": " + std::string(name) + " is " +
                     std::to_string(value) + ", expected 1 to " + std::to_string(maximum) +
                     std::string(maximum_name));
  };
  require("vocab_size", vocab_size, kMaximum, "");
  require("num_experts", num_experts, kMaximum, "");
  require("top_k", top_k, num_experts, " (num_experts)");
}

void require_expert_span(const TokenBatch& batch, int top_k, std::span<const int32_t> experts) {
  const size_t expected = batch.ids.size() * static_cast<size_t>(top_k);
  if (experts.size() == expected) return;
  throw RunError("route: room for " + std::to_string(experts.size()) + " experts, expected " +
                 std::to_string(expected));
}

}  // namespace hashep
