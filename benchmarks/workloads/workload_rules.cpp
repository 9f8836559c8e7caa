// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/workloads/workload_rules.hpp"

#include <algorithm>
#include <numeric>

#include "benchmarks/workloads/keyed_shuffle.hpp"
#include "hashep/error.hpp"
#include "hashep/placement.hpp"
#include "hashep/split.hpp"

namespace hashep::bench {
namespace {

// All values are part of the definition.
constexpr int64_t kExpertsPerHotOne = 8;  // hot-experts: one expert of so many is hot
constexpr int64_t kHotTokens = 2;         // hot-experts: one token of so many goes to them
constexpr int64_t kHotRankExtra = 3;      // hot-rank: its load nears 1 + this times the mean
constexpr int64_t kHotSpotExtra = 7;      // rotating: so does that of the hot experts
constexpr int64_t kBurstPeriod = 4;       // burst: steps from a full batch to the next
constexpr int64_t kQuietTokens = 8;       // burst: one token of so many is real in other steps

std::vector<int32_t> numbers(int64_t begin, int64_t end) {
  std::vector<int32_t> values(end - begin);
  std::iota(values.begin(), values.end(), static_cast<int32_t>(begin));
  return values;
}

}  // namespace

WorkloadRules::WorkloadRules(const WorkloadShape& shape) : shape_(shape) {
  if (shape.top_k < 1 || shape.top_k > shape.num_experts) {
    throw InputError("--top-k " + std::to_string(shape.top_k) + ": must be in [1, " +
                     std::to_string(shape.num_experts) + "]");
  }
  if (shape.kind == WorkloadKind::ragged_source) {
    rank_order_ = keyed_order(shape.seed, Draw::rank_order, shape.ep_size);
  }
  if (shape.kind == WorkloadKind::zero_load) {
    const auto loaded = static_cast<int64_t>(loaded_experts().size());
    if (loaded < shape.top_k) {
      throw InputError("--workload " + workload_name(shape.kind) + ": the ranks with load have " +
                       std::to_string(loaded) + " experts, --top-k " + std::to_string(shape.top_k) +
                       " needs as many");
    }
  }
}

/// Spread evenly over all experts, and so over ranks; one further in each layer.
std::vector<int32_t> WorkloadRules::hot_experts(int64_t layer) const {
  const int64_t all = shape_.num_experts;
  const int64_t count =
      std::max<int64_t>(shape_.top_k, (all + kExpertsPerHotOne - 1) / kExpertsPerHotOne);
  std::vector<int32_t> experts;
  for (int64_t i = 0; i < count; ++i) {
    experts.push_back(static_cast<int32_t>((i * all / count + layer) % all));
  }
  return experts;
}

/// A token goes to top_k experts of the rank, or to all of them and to others too.
ExpertClass WorkloadRules::hot_rank() const {
  const int64_t all = shape_.num_experts;
  const Placement placement = contiguous_placement(all, shape_.ep_size);
  const auto own = placement.local_experts(placement.rank_of(all / 2));
  std::vector<int32_t> hot(own.begin(), own.end());
  if (static_cast<int64_t>(hot.size()) >= shape_.top_k) return {{}, std::move(hot)};
  std::vector<int32_t> others = numbers(0, hot.front());
  const std::vector<int32_t> after = numbers(hot.back() + 1, all);
  others.insert(others.end(), after.begin(), after.end());
  return {std::move(hot), std::move(others)};
}

/// Of ranks 0, 2, 4 ...
std::vector<int32_t> WorkloadRules::loaded_experts() const {
  std::vector<int32_t> experts;
  for (int rank = 0; rank < shape_.ep_size; rank += 2) {
    const Range range = split_range(shape_.num_experts, shape_.ep_size, rank);
    const std::vector<int32_t> own = numbers(range.begin, range.end);
    experts.insert(experts.end(), own.begin(), own.end());
  }
  return experts;
}

std::vector<ExpertClass> WorkloadRules::classes(int64_t layer) const {
  std::vector<ExpertClass> classes;
  switch (shape_.kind) {
    case WorkloadKind::hot_experts:
      classes.push_back({{}, hot_experts(layer)});
      break;
    case WorkloadKind::hot_rank:
      classes.push_back(hot_rank());
      break;
    default:
      break;
  }
  classes.push_back(
      {{},
       shape_.kind == WorkloadKind::zero_load ? loaded_experts() : numbers(0, shape_.num_experts)});
  for (size_t i = 0; i < classes.size(); ++i) {
    keyed_shuffle(shape_.seed, Draw::expert_order, layer, static_cast<int64_t>(i),
                  classes[i].circle);
  }
  return classes;
}

int64_t WorkloadRules::ragged_tokens(int64_t step, int rank) const {
  const int64_t ranks = shape_.ep_size;
  if (ranks == 1) return shape_.tokens_per_rank;
  const int64_t turn = (rank_order_[rank] + step) % ranks;
  return shape_.tokens_per_rank * turn / (ranks - 1);
}

std::array<TokenPart, 2> WorkloadRules::parts(int64_t step, int rank) const {
  const int64_t all = shape_.tokens_per_rank;
  const int64_t top_k = shape_.top_k;
  switch (shape_.kind) {
    case WorkloadKind::hot_experts: {
      const int64_t hot = all / kHotTokens;
      return {{{.expert_class = 0, .tokens = hot}, {.expert_class = 1, .tokens = all - hot}}};
    }
    case WorkloadKind::hot_rank: {
      const int64_t hot = all * kHotRankExtra / (shape_.ep_size + kHotRankExtra);
      return {{{.expert_class = 0, .tokens = hot}, {.expert_class = 1, .tokens = all - hot}}};
    }
    case WorkloadKind::ragged_source:
      return {{{.tokens = ragged_tokens(step, rank)}, {}}};
    case WorkloadKind::rotating: {
      const int64_t extra = kHotSpotExtra * top_k;
      const int64_t hot = all * extra / (shape_.num_experts + extra);
      return {
          {{.tokens = hot, .pinned = step * top_k % shape_.num_experts}, {.tokens = all - hot}}};
    }
    case WorkloadKind::burst:
      return {{{.tokens = step % kBurstPeriod == 0 ? all : all / kQuietTokens}, {}}};
    default:
      return {{{.tokens = all}, {}}};
  }
}

std::vector<int32_t> first_ids(const WorkloadRules& rules) {
  std::vector<int32_t> first = {0};
  for (const ExpertClass& experts : rules.classes(0)) {
    first.push_back(first.back() + static_cast<int32_t>(experts.circle.size()));
  }
  return first;
}

RoutingTable workload_table(const WorkloadRules& rules, int64_t layer) {
  RoutingTable table;
  table.top_k = rules.shape().top_k;
  for (const ExpertClass& experts : rules.classes(layer)) {
    const size_t cards = experts.circle.size();
    const size_t width = static_cast<size_t>(table.top_k) - experts.fixed.size();
    for (size_t card = 0; card < cards; ++card) {
      table.experts.insert(table.experts.end(), experts.fixed.begin(), experts.fixed.end());
      for (size_t j = 0; j < width; ++j) {
        table.experts.push_back(experts.circle[(card + j) % cards]);
      }
    }
    table.vocab_size += static_cast<int64_t>(cards);
  }
  return table;
}

}  // namespace hashep::bench
