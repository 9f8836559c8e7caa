// SPDX-License-Identifier: Apache-2.0
#include "hashep/hash_router.hpp"

#include <algorithm>
#include <array>
#include <bit>

#define XXH_INLINE_ALL  // messages are 16 or 24 bytes: inlined, the library's loops vanish
#include <xxhash.h>

#include "hashep/error.hpp"
#include "runtime/routing/route_checks.hpp"

namespace hashep {
namespace {

static_assert(std::endian::native == std::endian::little, "words are hashed as they lie in memory");

/// What is hashed: the feature words of one token, and a last word for the choice.
template <size_t num_words>
using Message = std::array<int64_t, num_words>;

template <HashFeature feature>
auto make_message(int32_t id, int64_t position, int32_t previous_id) {
  const int64_t previous = position == 0 ? int64_t{-1} : previous_id;
  if constexpr (feature == HashFeature::token) return Message<2>{id, 0};
  if constexpr (feature == HashFeature::position) return Message<2>{position, 0};
  if constexpr (feature == HashFeature::previous) return Message<2>{previous, 0};
  if constexpr (feature == HashFeature::bigram) return Message<3>{previous, id, 0};
}

template <size_t num_words>
void choose_experts(Message<num_words> message, const HashRouterConfig& config, int32_t* experts) {
  const auto num_experts = static_cast<uint64_t>(config.num_experts);
  for (int choice = 0; choice < config.top_k; ++choice) {
    message.back() = choice;
    auto expert =
        static_cast<int32_t>(XXH64(message.data(), sizeof(message), config.seed) % num_experts);
    int32_t* const end = experts + choice;
    while (std::find(experts, end, expert) != end) {
      expert = expert + 1 == config.num_experts ? 0 : expert + 1;
    }
    experts[choice] = expert;
  }
}

template <HashFeature feature>
void route_by(const TokenBatch& batch, const HashRouterConfig& config, int32_t* experts) {
  int64_t position = batch.first_index % batch.seq_len;
  int32_t previous_id = batch.previous_id;
  for (size_t i = 0; i < batch.ids.size(); ++i) {
    const int32_t id = batch.ids[i];
    if (is_known_id(id, config.vocab_size)) {
      choose_experts(make_message<feature>(id, position, previous_id), config, experts);
    } else if (id == kPaddingId) {
      std::fill_n(experts, config.top_k, -1);
    } else {
      throw_unknown_id(batch.first_index + static_cast<int64_t>(i), id, config.vocab_size);
    }
    experts += config.top_k;
    previous_id = id;
    if (++position == batch.seq_len) position = 0;
  }
}

}  // namespace

HashRouter::HashRouter(const HashRouterConfig& config) : config_(config) {
  require_router_sizes(config.vocab_size, config.num_experts, config.top_k, "hash router");
}

void HashRouter::route(const TokenBatch& batch, std::span<int32_t> experts) const {
  require_expert_span(batch, config_.top_k, experts);
  if (batch.seq_len < 1 || batch.first_index < 0) {
    throw RunError("route: seq_len " + std::to_string(batch.seq_len) + " and first_index " +
                   std::to_string(batch.first_index) + ", expected at least 1 and 0");
  }
  switch (config_.feature) {
    case HashFeature::token:
      return route_by<HashFeature::token>(batch, config_, experts.data());
    case HashFeature::position:
      return route_by<HashFeature::position>(batch, config_, experts.data());
    case HashFeature::previous:
      return route_by<HashFeature::previous>(batch, config_, experts.data());
    case HashFeature::bigram:
      return route_by<HashFeature::bigram>(batch, config_, experts.data());
  }
}

}  // namespace hashep
