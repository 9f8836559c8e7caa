// SPDX-License-Identifier: Apache-2.0
#include "runtime/tables/targeted_table.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "core/random.hpp"
#include "hashep/error.hpp"
#include "runtime/routing/route_checks.hpp"
#include "runtime/routing/table_builder.hpp"
#include "runtime/tables/table_loads.hpp"

namespace hashep {
namespace {

constexpr uint64_t kTargetedTableTag = 0x74617267u;  // "targ"

// Ids trade places in the order where one occurs at most this much more often than the other.
constexpr double kShuffle = 0.5;
// A shuffled table this near to its bounds is as good as can be: drift between corpora is larger.
constexpr double kTolerance = 1.001;

/// What stands in a queue of the least-loaded: ties go by `order`, a keyed shuffle.
struct Loaded {
  double load = 0.0;
  uint64_t order = 0;
  int32_t index = 0;

  auto operator<=>(const Loaded&) const = default;
};
using LeastLoaded = std::priority_queue<Loaded, std::vector<Loaded>, std::greater<>>;

/// Assigns ids one after the other to ranks, and there to experts.
class IdAssigner {
 public:
  IdAssigner(const Placement& placement, bool per_expert, uint64_t key)
      : experts_(placement.ep_size()), share_(placement.ep_size(), 1.0) {
    for (int32_t rank = 0; rank < placement.ep_size(); ++rank) {
      const auto local = placement.local_experts(rank);
      if (local.empty()) continue;
      const auto r = static_cast<size_t>(rank);
      if (per_expert) share_[r] = 1.0 / static_cast<double>(local.size());
      const auto tag = static_cast<uint64_t>(placement.num_experts() + rank);
      ranks_.push({0.0, random_bits(key, tag), rank});
      for (const int32_t expert : local) {
        experts_[r].push({0.0, random_bits(key, static_cast<uint64_t>(expert)), expert});
      }
    }
  }

  /// Loads are none again: what is assigned from here on is even by itself. Experts and ranks that
  /// had the least load are first. Between two ids.
  void start_over() {
    for (LeastLoaded& local : experts_) clear_loads(local);
    clear_loads(ranks_);
  }

  /// Writes the experts of an id that occurs `weight` times.
  void assign(double weight, std::span<int32_t> row) {
    for (int32_t& expert : row) {
      if (ranks_.empty()) take_back(waiting_);  // each rank has its share: another round
      Loaded rank = ranks_.top();
      ranks_.pop();
      LeastLoaded& local = experts_[rank.index];
      taken_.emplace_back(rank.index, local.top());
      local.pop();
      expert = taken_.back().second.index;
      rank.load += weight * share_[rank.index];
      if (local.empty()) {
        used_up_.push_back(rank);
      } else {
        waiting_.push_back(rank);
      }
    }
    for (auto& [rank, expert] : taken_) {
      expert.load += weight;
      experts_[rank].push(expert);
    }
    taken_.clear();
    take_back(used_up_);
    take_back(waiting_);
  }

 private:
  static void clear_loads(LeastLoaded& queue) {
    LeastLoaded cleared;
    for (; !queue.empty(); queue.pop()) cleared.push({0.0, cleared.size(), queue.top().index});
    queue = std::move(cleared);
  }

  void take_back(std::vector<Loaded>& ranks) {
    for (const Loaded& rank : ranks) ranks_.push(rank);
    ranks.clear();
  }

  std::vector<LeastLoaded> experts_;  // of each rank, but those the current id has
  std::vector<double> share_;         // of an assignment in a rank's load
  LeastLoaded ranks_;                 // that may be next
  std::vector<Loaded> waiting_;       // that had a choice of the current id in this round
  std::vector<Loaded> used_up_;       // whose experts the current id has all
  std::vector<std::pair<int32_t, Loaded>> taken_;  // rank, expert
};

void require_counts(std::span<const int64_t> counts) {
  const auto negative =
      std::find_if(counts.begin(), counts.end(), [](int64_t count) { return count < 0; });
  if (negative == counts.end()) return;
  throw InputError("balanced table: id " + std::to_string(negative - counts.begin()) +
                   " has a negative count, " + std::to_string(*negative));
}

/// Ids by falling count, those that never occurred last; `shuffle`: see kShuffle.
std::vector<int32_t> assigning_order(std::span<const int64_t> counts, double shuffle,
                                     uint64_t key) {
  std::vector<std::pair<double, uint64_t>> place(counts.size());
  for (size_t id = 0; id < counts.size(); ++id) {
    const uint64_t bits = random_bits(key, id);
    place[id] = {-static_cast<double>(counts[id]) * (1.0 - shuffle * uniform_from_bits(bits)),
                 bits};
  }
  std::vector<int32_t> ids(counts.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) { return place[a] < place[b]; });
  return ids;
}

RoutingTable assign_all(std::span<const int64_t> counts, const Placement& placement, int top_k,
                        BalanceTarget target, double shuffle, uint64_t key) {
  const Placement one_rank = contiguous_placement(placement.num_experts(), 1);
  IdAssigner assigner(target == BalanceTarget::expert ? one_rank : placement,
                      target == BalanceTarget::both, derive_key(key, 0));
  const auto k = static_cast<size_t>(top_k);
  RoutingTable table{std::ssize(counts), top_k, std::vector<int32_t>(counts.size() * k)};
  bool was_seen = true;
  for (const int32_t id : assigning_order(counts, shuffle, derive_key(key, 1))) {
    const auto v = static_cast<size_t>(id);
    if (was_seen && counts[v] == 0) assigner.start_over();
    was_seen = counts[v] > 0;
    assigner.assign(static_cast<double>(std::max<int64_t>(counts[v], 1)),
                    std::span(table.experts).subspan(v * k, k));
  }
  return table;
}

}  // namespace

RoutingTable build_targeted_table(std::span<const int64_t> counts, const Placement& placement,
                                  int top_k, BalanceTarget target, uint64_t seed) {
  require_router_sizes(std::ssize(counts), placement.num_experts(), top_k, "balanced table");
  require_counts(counts);
  const double expert_bound = load_bound(counts, placement.num_experts(), top_k);
  const double rank_bound = rank_load_bound(counts, placement, top_k);
  // The targeted load factors as multiples of their bounds.
  struct Excess {
    double experts = 1.0;
    double ranks = 1.0;

    double worst() const { return std::max(experts, ranks); }
  };
  const auto excess_of = [&](const RoutingTable& table) {
    const LoadFactors factors = table_load_factors(table, counts, placement);
    Excess excess;
    if (target != BalanceTarget::rank) excess.experts = factors.expert_max_over_mean / expert_bound;
    if (target != BalanceTarget::expert) excess.ranks = factors.rank_max_over_mean / rank_bound;
    return excess;
  };

  RoutingTable random =
      build_random_table(std::ssize(counts), placement.num_experts(), top_k, seed);
  const Excess of_random = excess_of(random);
  const uint64_t key = derive_key(seed, kTargetedTableTag);
  std::optional<RoutingTable> best;
  double least = 0.0;
  for (const double shuffle : {kShuffle, 0.0}) {
    RoutingTable table = assign_all(counts, placement, top_k, target, shuffle, key);
    const Excess excess = excess_of(table);
    if (excess.experts > of_random.experts || excess.ranks > of_random.ranks) continue;
    if (best && excess.worst() >= least) continue;
    best = std::move(table);
    least = excess.worst();
    if (least <= kTolerance) break;
  }
  return best ? *std::move(best) : random;
}

}  // namespace hashep
