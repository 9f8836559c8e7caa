// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "hashep/token_batch.hpp"

namespace hashep {

/// A layer of a stack, as a router needs to know it.
struct RoutedLayer {
  int64_t layer = 0;        ///< from 0
  int64_t num_experts = 1;  ///< of all ranks
  int top_k = 1;            ///< experts of a token
};

/// Static routing: a pure function of token ids and their surroundings, for all layers of a stack.
/// No communication, no state; all ranks hold the same one. Derive from it to route in a way of
/// your own.
class Router {
 public:
  virtual ~Router() = default;

  /// Writes each token's top_k distinct experts, in [0, num_experts), in order of choice; -1 for
  /// all choices of a padding token. experts: [tokens, top_k], host memory. A token's experts
  /// depend on the token and its surroundings alone, never on how a batch is cut. The batch may be
  /// empty: so it is when a stack is made, to learn whether the router fits the layer. Throws
  /// InputError where it does not, on an id that the router does not know, naming token and id, and
  /// where the batch lacks what the router looks at. May be called by several threads at once.
  virtual void route(const TokenBatch& batch, const RoutedLayer& layer,
                     std::span<int32_t> experts) const = 0;

  /// A number that follows from all that routing depends on. Ranks compare it.
  virtual uint64_t digest() const = 0;

  /// Whether `route` is known to keep its word, so that planning need not look for experts that are
  /// out of range, twice in a token, or of padding.
  virtual bool is_trusted() const { return false; }
};

}  // namespace hashep
