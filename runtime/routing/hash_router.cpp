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

/// What stands around one token after the other, in sequences of seq_len tokens.
class DerivedSurroundings {
 public:
  explicit DerivedSurroundings(const TokenBatch& batch)
      : seq_len_(batch.seq_len),
        position_(batch.first_position % batch.seq_len),
        previous_id_(batch.previous_id) {}
  int64_t position() const { return position_; }
  int64_t previous_id() const { return position_ == 0 ? -1 : previous_id_; }
  void advance(int32_t id) {
    previous_id_ = id;
    if (++position_ == seq_len_) position_ = 0;
  }

 private:
  int64_t seq_len_;
  int64_t position_;
  int32_t previous_id_;
};

/// The same as the batch gives it; what is not asked for need not be there.
class GivenSurroundings {
 public:
  explicit GivenSurroundings(const TokenBatch& batch) : batch_(batch) {}
  int64_t position() const { return batch_.positions[token_]; }
  int64_t previous_id() const { return batch_.previous_ids[token_]; }
  void advance(int32_t) { ++token_; }

 private:
  const TokenBatch& batch_;
  size_t token_ = 0;
};

constexpr bool looks_at_previous(HashFeature feature) {
  return feature == HashFeature::previous || feature == HashFeature::bigram;
}

template <HashFeature feature, typename Surroundings>
auto make_message(int32_t id, const Surroundings& around) {
  if constexpr (feature == HashFeature::token) return Message<2>{id, 0};
  if constexpr (feature == HashFeature::position) return Message<2>{around.position(), 0};
  if constexpr (feature == HashFeature::previous) return Message<2>{around.previous_id(), 0};
  if constexpr (feature == HashFeature::bigram) return Message<3>{around.previous_id(), id, 0};
}

template <size_t num_words>
void choose_experts(Message<num_words> message, const RoutedLayer& layer, uint64_t seed,
                    int32_t* experts) {
  const auto num_experts = static_cast<uint64_t>(layer.num_experts);
  for (int choice = 0; choice < layer.top_k; ++choice) {
    message.back() = choice;
    auto expert = static_cast<int32_t>(XXH64(message.data(), sizeof(message), seed) % num_experts);
    int32_t* const end = experts + choice;
    while (std::find(experts, end, expert) != end) {
      expert = expert + 1 == layer.num_experts ? 0 : expert + 1;
    }
    experts[choice] = expert;
  }
}

template <HashFeature feature, typename Surroundings>
void route_by(const TokenBatch& batch, const HashRouterConfig& config, const RoutedLayer& layer,
              int32_t* experts) {
  const uint64_t seed = config.seed + static_cast<uint64_t>(layer.layer);
  Surroundings around(batch);
  for (size_t i = 0; i < batch.ids.size(); ++i) {
    const int32_t id = batch.ids[i];
    if (is_known_id(id, config.vocab_size)) {
      choose_experts(make_message<feature>(id, around), layer, seed, experts);
    } else if (id == kPaddingId) {
      std::fill_n(experts, layer.top_k, -1);
    } else {
      throw_unknown_id(batch, i, config.vocab_size);
    }
    experts += layer.top_k;
    around.advance(id);
  }
}

void require_previous_id(int32_t id, const TokenBatch& batch, size_t token, int64_t vocab_size) {
  if (id == -1 || is_known_id(id, vocab_size)) return;
  throw InputError(token_text(batch, token) + " follows id " + std::to_string(id) +
                   ", outside [0, " + std::to_string(vocab_size) + ")");
}

/// Throws where the batch does not have what the feature is of.
void require_surroundings(const TokenBatch& batch, const HashRouterConfig& config) {
  if (batch.ids.empty()) return;
  const bool is_derived = batch.seq_len > 0;
  if (config.feature == HashFeature::position && !is_derived && batch.positions.empty()) {
    throw InputError("hash router: a batch has neither seq_len nor positions");
  }
  if (!looks_at_previous(config.feature)) return;
  if (is_derived) return require_previous_id(batch.previous_id, batch, 0, config.vocab_size);
  if (batch.previous_ids.empty()) {
    throw InputError("hash router: a batch has neither seq_len nor previous ids");
  }
  for (size_t i = 0; i < batch.ids.size(); ++i) {
    require_previous_id(batch.previous_ids[i], batch, i, config.vocab_size);
  }
}

template <HashFeature feature>
void route_by(const TokenBatch& batch, const HashRouterConfig& config, const RoutedLayer& layer,
              int32_t* experts) {
  if (batch.seq_len > 0) {
    route_by<feature, DerivedSurroundings>(batch, config, layer, experts);
  } else {
    route_by<feature, GivenSurroundings>(batch, config, layer, experts);
  }
}

}  // namespace

HashRouter::HashRouter(const HashRouterConfig& config) : config_(config) {
  require_router_sizes(config.vocab_size, 1, 1, "hash router");
}

uint64_t HashRouter::digest() const {
  const std::array<uint64_t, 3> words = {static_cast<uint64_t>(config_.vocab_size), config_.seed,
                                         static_cast<uint64_t>(config_.feature)};
  return XXH64(words.data(), sizeof(words), 0);
}

void HashRouter::route(const TokenBatch& batch, const RoutedLayer& layer,
                       std::span<int32_t> experts) const {
  require_router_sizes(config_.vocab_size, layer.num_experts, layer.top_k, "hash router");
  require_expert_span(batch, layer, experts);
  require_surroundings(batch, config_);
  switch (config_.feature) {
    case HashFeature::token:
      return route_by<HashFeature::token>(batch, config_, layer, experts.data());
    case HashFeature::position:
      return route_by<HashFeature::position>(batch, config_, layer, experts.data());
    case HashFeature::previous:
      return route_by<HashFeature::previous>(batch, config_, layer, experts.data());
    case HashFeature::bigram:
      return route_by<HashFeature::bigram>(batch, config_, layer, experts.data());
  }
}

}  // namespace hashep
