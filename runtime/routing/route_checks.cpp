// SPDX-License-Identifier: Apache-2.0
#include "runtime/routing/route_checks.hpp"

#include <algorithm>
#include <limits>

#include "hashep/error.hpp"

namespace hashep {
namespace {

/// Whether there is one for each token, or none.
template <typename T>
bool fits(std::span<const T> values, const TokenBatch& batch) {
  return values.empty() || (batch.seq_len == 0 && values.size() == batch.ids.size());
}

bool has_good_sizes(const TokenBatch& batch) {
  const int64_t most = std::numeric_limits<int64_t>::max() - std::ssize(batch.ids);
  return batch.seq_len >= 0 && batch.first_position >= 0 && batch.first_position <= most &&
         fits(batch.positions, batch) && fits(batch.previous_ids, batch);
}

/// What is wrong with the experts of a token; empty where nothing is.
std::string wrong_with(std::span<const int32_t> experts, bool is_padding, int64_t num_experts) {
  for (size_t j = 0; j < experts.size(); ++j) {
    const std::string expert = "expert " + std::to_string(experts[j]);
    if (is_padding) {
      if (experts[j] != -1) return "is padding and has " + expert + ", expected -1";
      continue;
    }
    if (experts[j] < 0 || experts[j] >= num_experts) {
      return "has " + expert + ", outside [0, " + std::to_string(num_experts) + ")";
    }
    const auto chosen = experts.begin() + static_cast<std::ptrdiff_t>(j);
    if (std::find(experts.begin(), chosen, experts[j]) != chosen) return "has " + expert + " twice";
  }
  return "";
}

/// The same as a yes or no, without a branch that depends on the experts.
bool is_right(const int32_t* experts, size_t top_k, bool is_padding, int64_t num_experts) {
  bool right = true;
  for (size_t j = 0; j < top_k; ++j) {
    const auto expert = static_cast<uint32_t>(experts[j]);
    right &= is_padding ? experts[j] == -1 : expert < static_cast<uint64_t>(num_experts);
    for (size_t earlier = 0; earlier < j; ++earlier) {
      right &= is_padding || experts[earlier] != experts[j];
    }
  }
  return right;
}

}  // namespace

void require_valid(const TokenBatch& batch) {
  if (!has_good_sizes(batch)) {
    throw InputError(
        "a batch of " + std::to_string(batch.ids.size()) + " ids with seq_len " +
        std::to_string(batch.seq_len) + ", first_position " + std::to_string(batch.first_position) +
        ", " + std::to_string(batch.positions.size()) + " positions and " +
        std::to_string(batch.previous_ids.size()) +
        " previous ids: expected none that is negative, and positions and previous ids for each "
        "token where seq_len is 0, else none");
  }
  for (size_t i = 0; i < batch.positions.size(); ++i) {
    if (batch.positions[i] < 0) {
      throw InputError(token_text(batch, i) + " has position " +
                       std::to_string(batch.positions[i]) + ", expected 0 or more");
    }
    if (batch.positions[i] > 0 || batch.previous_ids.empty() || batch.previous_ids[i] == -1) {
      continue;
    }
    throw InputError(token_text(batch, i) + " is at position 0 and follows id " +
                     std::to_string(batch.previous_ids[i]) + ", expected -1");
  }
}

std::string token_text(const TokenBatch& batch, size_t token) {
  return "token " + std::to_string(batch.first_position + static_cast<int64_t>(token));
}

void throw_unknown_id(const TokenBatch& batch, size_t token, int64_t vocab_size) {
  throw InputError(token_text(batch, token) + " has id " + std::to_string(batch.ids[token]) +
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

void require_expert_span(const TokenBatch& batch, const RoutedLayer& layer,
                         std::span<const int32_t> experts) {
  if (!has_good_sizes(batch)) throw RunError("route: a batch whose sizes do not agree");
  const size_t expected = batch.ids.size() * static_cast<size_t>(layer.top_k);
  if (experts.size() == expected) return;
  throw RunError("route: room for " + std::to_string(experts.size()) + " experts, expected " +
                 std::to_string(expected));
}

void route_checked(const Router& router, const TokenBatch& batch, const RoutedLayer& layer,
                   std::span<int32_t> experts) {
  router.route(batch, layer, experts);
  if (router.is_trusted()) return;
  const auto top_k = static_cast<size_t>(layer.top_k);
  for (size_t i = 0; i < batch.ids.size(); ++i) {
    const std::span<const int32_t> of_token = experts.subspan(i * top_k, top_k);
    const bool is_padding = batch.ids[i] == kPaddingId;
    if (is_right(of_token.data(), top_k, is_padding, layer.num_experts)) continue;
    throw InputError("router, layer " + std::to_string(layer.layer) + ": " + token_text(batch, i) +
                     " " + wrong_with(of_token, is_padding, layer.num_experts));
  }
}

}  // namespace hashep
