// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "hashep/token_batch.hpp"

namespace hashep {

/// Static routing of one layer: a pure function of token ids and positions. No communication.
class Router {
 public:
  virtual ~Router() = default;

  virtual int64_t num_experts() const = 0;
  virtual int top_k() const = 0;

  /// Writes each token's top_k distinct experts, in [0, num_experts), in order of choice; -1 for
  /// all choices of a padding token. experts: [batch.ids.size() * top_k()]. Throws InputError on an
  /// id outside [0, vocab_size), naming the token's index in the stream and the id.
  virtual void route(const TokenBatch& batch, std::span<int32_t> experts) const = 0;
};

}  // namespace hashep
