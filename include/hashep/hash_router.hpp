// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hashep/router.hpp"

namespace hashep {

/// What of a token is hashed (int64 words): token [id]; position [pos]; previous [id(i-1)];
/// bigram [id(i-1), id(i)]. At a sequence start the previous id is -1.
enum class HashFeature { token, position, previous, bigram };

struct HashRouterConfig {
  HashFeature feature = HashFeature::token;
  uint64_t seed = 0;  // router_seed + layer index
  int64_t num_experts = 1;
  int top_k = 1;
  int64_t vocab_size = 0;
};

/// Arithmetic hash router (Roller et al., arXiv 2106.04426, with XXH64 as the hash). Choice j: h =
/// XXH64 over the little-endian int64 feature words followed by the word j; expert = h mod E; while
/// an earlier choice of the token has that expert, (expert + 1) mod E. top_k <= num_experts.
class HashRouter final : public Router {
 public:
  /// Throws InputError where top_k is not in [1, num_experts].
  explicit HashRouter(const HashRouterConfig& config);

  int64_t num_experts() const override { return config_.num_experts; }
  int top_k() const override { return config_.top_k; }
  void route(const TokenBatch& batch, std::span<int32_t> experts) const override;

 private:
  HashRouterConfig config_;
};

}  // namespace hashep
