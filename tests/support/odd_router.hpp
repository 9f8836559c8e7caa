// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <stdexcept>

#include "hashep/router.hpp"

namespace hashep::test {

/// A router that a user might write, with one mistake, which it makes in layer 1 at the first token
/// that is not the batch's first and is, or is not, padding.
class OddRouter final : public Router {
 public:
  enum class Oddity { none, too_large, negative, twice, padding, throws };

  explicit OddRouter(Oddity oddity) : oddity_(oddity) {}

  void route(const TokenBatch& batch, const RoutedLayer& layer,
             std::span<int32_t> experts) const override {
    const auto top_k = static_cast<size_t>(layer.top_k);
    bool is_done = layer.layer != 1;
    for (size_t i = 0; i < batch.ids.size(); ++i) {
      const std::span<int32_t> of_token = experts.subspan(i * top_k, top_k);
      const bool is_padding = batch.ids[i] == kPaddingId;
      for (size_t j = 0; j < top_k; ++j) of_token[j] = is_padding ? -1 : static_cast<int32_t>(j);
      if (is_done || i == 0 || is_padding != (oddity_ == Oddity::padding)) continue;
      is_done = true;
      spoil(of_token, layer);
    }
  }
  uint64_t digest() const override { return 1; }

 private:
  void spoil(std::span<int32_t> experts, const RoutedLayer& layer) const {
    switch (oddity_) {
      case Oddity::none:
        return;
      case Oddity::too_large:
        experts.back() = static_cast<int32_t>(layer.num_experts);
        return;
      case Oddity::negative:
        experts.back() = -1;
        return;
      case Oddity::twice:
        experts.back() = experts[1];
        return;
      case Oddity::padding:
        experts.back() = 0;
        return;
      case Oddity::throws:
        throw std::logic_error("no idea");
    }
  }

  Oddity oddity_;
};

}  // namespace hashep::test
