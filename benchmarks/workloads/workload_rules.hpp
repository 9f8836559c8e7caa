// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "benchmarks/workloads/workload_names.hpp"
#include "hashep/routing_table.hpp"

namespace hashep::bench {

/// What a workload by rules (W0 to W6) is a pure function of.
struct WorkloadShape {
  WorkloadKind kind = WorkloadKind::balanced;
  int ep_size = 1;
  int64_t tokens_per_rank = 1;
  int64_t num_experts = 1;
  int top_k = 1;
  uint64_t seed = 0;
};

/// Experts that tokens go to: card `v` of the class gives a token all of `fixed`, and then, as
/// often as it needs one more, circle[v], circle[v + 1] ..., from the end on to the begin.
struct ExpertClass {
  std::vector<int32_t> fixed;
  std::vector<int32_t> circle;
};

/// Some tokens of a rank in one batch. They take the cards of their class in turn: after a card
/// come the experts that it did not give; or they all take card `pinned`.
struct TokenPart {
  static constexpr int64_t kInTurn = -1;

  int expert_class = 0;
  int64_t tokens = 0;
  int64_t pinned = kInTurn;
};

/// The rules of one workload, as docs/workloads.md defines it.
class WorkloadRules {
 public:
  /// Throws InputError where top_k is not in [1, num_experts], or too few experts take part.
  explicit WorkloadRules(const WorkloadShape& shape);

  const WorkloadShape& shape() const { return shape_; }
  /// The classes in a layer. Their sizes are the same in all layers.
  std::vector<ExpertClass> classes(int64_t layer) const;
  /// The parts of a rank's batch, in this order; what they leave of its tokens is padding.
  std::array<TokenPart, 2> parts(int64_t step, int rank) const;
  /// For ragged: the ranks in the order of their tokens in step 0.
  const std::vector<int32_t>& rank_order() const { return rank_order_; }

 private:
  std::vector<int32_t> hot_experts(int64_t layer) const;
  ExpertClass hot_rank() const;
  std::vector<int32_t> loaded_experts() const;
  int64_t ragged_tokens(int64_t step, int rank) const;

  WorkloadShape shape_;
  std::vector<int32_t> rank_order_;  // [ep_size] where tokens are ragged, else empty
};

/// The first id of each class, and after the last one the vocabulary's size: [classes + 1]. Id
/// first + v is card v of the class.
std::vector<int32_t> first_ids(const WorkloadRules& rules);

/// The table of a layer: row `id` holds the experts that its card gives.
RoutingTable workload_table(const WorkloadRules& rules, int64_t layer);

}  // namespace hashep::bench
