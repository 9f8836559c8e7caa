// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/stored_experts.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "core/format.hpp"
#include "core/input_file.hpp"
#include "core/narrow.hpp"
#include "core/setting.hpp"
#include "core/units.hpp"
#include "hashep/error.hpp"
#include "kernels/ffn/expert_ffn.hpp"
#include "runtime/layer/stack_experts.hpp"
#include "runtime/model/weight_store.hpp"

namespace hashep {
namespace {

// Experts that are read at once, at most: one that is unpacked and those behind it.
constexpr int kMostBuffers = 3;
constexpr int kMostSpare = 2;
constexpr int64_t kSlotsOfSpare = 8;  // for each spare one

/// What the memory of an expert depends on, beside its shape.
std::string kind_of(const FfnWeights& weights) {
  std::string kind;
  for (const QuantisedView& of :
       {weights.quantised.w1, weights.quantised.w2, weights.quantised.w3}) {
    kind += format("%lld/%d/%d/%lld ", static_cast<long long>(of.rows), static_cast<int>(of.format),
                   static_cast<int>(of.scale_format), static_cast<long long>(of.block_cols));
  }
  for (const ConstMatrixView& of : {weights.bias1, weights.bias2, weights.bias3}) {
    kind += of.rows > 0 ? "bias " : "- ";
  }
  return kind;
}

/// Bytes of an expert in memory.
int64_t packed_bytes(const ModelConfig& config, DType dtype, GemmLibrary library,
                     const StoredFfn& stored) {
  std::vector<Buffer> memory;
  std::vector<const std::byte*> parts;
  for (const FileRange& part : stored.parts) {
    Buffer& read = memory.emplace_back(part.bytes);
    InputFile(part.path).read(part.offset, {read.data(), static_cast<size_t>(part.bytes)});
    parts.push_back(read.data());
  }
  ExpertFfn one(config.routed_shape(), dtype, 1, 1, library);
  one.set_expert(0, stored.weights(parts));
  return one.weight_bytes();
}

}  // namespace

std::vector<StoredExpert> find_stored_experts(const WeightSource& weights,
                                              std::span<const Placement> placements, int ep_rank) {
  std::vector<StoredExpert> experts;
  for_each_layer(placements, ep_rank, [&](int64_t layer, std::span<const int32_t> local, int64_t) {
    for (const int32_t expert : local) {
      std::optional<StoredFfn> stored = weights.stored_expert(layer, expert);
      if (!stored) {
        throw InputError(setting("weight_memory") +
                         ": these weights are in no file that they could be read from when they "
                         "are needed");
      }
      const int64_t bytes = WeightStore::buffer_bytes_for(stored->parts);
      experts.push_back({std::move(*stored),
                         "layer " + std::to_string(layer) + ", expert " + std::to_string(expert),
                         bytes});
    }
  });
  return experts;
}

StreamingBudget streaming_budget(const ModelConfig& config, DType dtype, GemmLibrary library,
                                 std::span<const StoredExpert> experts, int64_t memory) {
  StreamingBudget budget;
  if (experts.empty()) return budget;
  std::map<std::string, const StoredFfn*> kinds;  // any of each
  for (const StoredExpert& expert : experts) {
    budget.buffer_bytes = std::max(budget.buffer_bytes, expert.read_bytes);
    const std::vector<const std::byte*> nowhere(expert.stored.parts.size(), nullptr);
    kinds.emplace(kind_of(expert.stored.weights(nowhere)), &expert.stored);
  }
  for (const auto& [kind, stored] : kinds) {
    budget.slot_bytes = std::max(budget.slot_bytes, packed_bytes(config, dtype, library, *stored));
  }
  const int64_t least = budget.slot_bytes + budget.buffer_bytes;
  if (memory < least) {
    throw InputError(setting("weight_memory") + ": " + format_bytes(memory) +
                     " is too little for one expert, of " + std::to_string(budget.slot_bytes) +
                     " bytes, and " + std::to_string(budget.buffer_bytes) +
                     " to read it into: the least that works is " + std::to_string(least));
  }
  const int64_t fitting = memory / (budget.slot_bytes * kSlotsOfSpare);
  budget.buffers = static_cast<int>(std::clamp<int64_t>(fitting, 1, kMostBuffers));
  const int64_t slots = (memory - budget.buffers * budget.buffer_bytes) / budget.slot_bytes;
  if (slots < std::ssize(experts)) {
    budget.spare = static_cast<int>(std::min<int64_t>(slots / kSlotsOfSpare, kMostSpare));
  }
  budget.slots = narrow<int>(std::min<int64_t>(slots - budget.spare, std::ssize(experts)), "slots");
  return budget;
}

}  // namespace hashep
