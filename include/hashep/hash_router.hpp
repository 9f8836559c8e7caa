// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hashep/router.hpp"

namespace hashep {

/// What of a token is hashed, as int64 words. At a sequence start the previous id is -1.
enum class HashFeature {
  token,     ///< its id
  position,  ///< its place in its sequence
  previous,  ///< the id before it
  bigram     ///< the id before it, then its own
};

/// How a HashRouter hashes.
struct HashRouterConfig {
  int64_t vocab_size = 0;                    ///< ids are in [0, this)
  uint64_t seed = 0;                         ///< layer l hashes with seed + l
  HashFeature feature = HashFeature::token;  ///< what of a token
};

/// Arithmetic hash router (Roller et al., arXiv 2106.04426, with XXH64 as the hash). Choice j: h =
/// XXH64 over the little-endian int64 feature words followed by the word j, with seed + layer;
/// expert = h mod E; while an earlier choice of the token has that expert, (expert + 1) mod E.
class HashRouter final : public Router {
 public:
  /// Throws InputError unless 1 <= vocab_size < 2^31.
  explicit HashRouter(const HashRouterConfig& config);

  /// Throws InputError unless 1 <= top_k <= num_experts.
  void route(const TokenBatch& batch, const RoutedLayer& layer,
             std::span<int32_t> experts) const override;
  uint64_t digest() const override;
  bool is_trusted() const override { return true; }
  /// How it hashes.
  const HashRouterConfig& config() const { return config_; }

 private:
  HashRouterConfig config_;
};

}  // namespace hashep
