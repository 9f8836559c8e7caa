// SPDX-License-Identifier: Apache-2.0
#include "hashep/weight_source.hpp"

#include <string>

#include "hashep/error.hpp"

namespace hashep {

LoadedFfn WeightSource::shared_experts(int64_t layer) const {
  throw InputError("layer " + std::to_string(layer) + ": these weights have no shared experts");
}

LoadedMatrix WeightSource::gate(int64_t layer) const {
  throw InputError("layer " + std::to_string(layer) + ": these weights have no gate");
}

LoadedMatrix WeightSource::gate_bias(int64_t layer) const {
  throw InputError("layer " + std::to_string(layer) + ": these weights have no bias of a gate");
}

std::optional<StoredFfn> WeightSource::stored_expert(int64_t, int64_t) const {
  return std::nullopt;
}

std::optional<uint64_t> WeightSource::sample_expert(int64_t, int64_t) const {
  return std::nullopt;
}

}  // namespace hashep
