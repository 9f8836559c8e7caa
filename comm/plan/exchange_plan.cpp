// SPDX-License-Identifier: Apache-2.0
#include "hashep/exchange_plan.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "hashep/error.hpp"

namespace hashep {
namespace {

constexpr const char* kAssignments = "assignments (tokens x top_k) of a rank";

size_t at(int64_t index) {
  return static_cast<size_t>(index);
}

/// counts [n] -> displs [n + 1]: exclusive prefix sums, the total last.
void prefix_sums(std::span<const int64_t> counts, std::vector<int64_t>& displs) {
  displs.resize(counts.size() + 1);
  int64_t sum = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    displs[i] = sum;
    sum += counts[i];
  }
  displs.back() = sum;
}

/// The source's side: counts and rank-major places of this rank's rows, by expert.
void plan_sends(const CountMatrix& counts, const Placement& placement, ExchangePlan& plan) {
  plan.send_counts.assign(at(plan.ep_size), 0);
  plan.expert_send_rows.resize(at(plan.num_experts));
  int64_t row = 0;
  for (const int32_t expert : placement.by_rank()) {
    const int64_t count = counts(plan.ep_rank, expert);
    plan.expert_send_rows[at(expert)] = row;
    plan.send_counts[at(placement.rank_of(expert))] += count;
    row += count;
  }
  prefix_sums(plan.send_counts, plan.send_displs);
}

/// Owners and the rows they receive; where this rank's rows of each expert begin in the owner's
/// expert-major order.
void plan_landing(const CountMatrix& counts, const Placement& placement, ExchangePlan& plan) {
  plan.expert_ranks.assign(placement.ranks().begin(), placement.ranks().end());
  plan.rank_rows.resize(at(plan.ep_size));
  plan.landing_rows.resize(at(plan.num_experts));
  for (int owner = 0; owner < plan.ep_size; ++owner) {
    int64_t row = 0;
    for (const int32_t expert : placement.local_experts(owner)) {
      for (int source = 0; source < plan.ep_size; ++source) {
        if (source == plan.ep_rank) plan.landing_rows[at(expert)] = row;
        row += counts(source, expert);
      }
    }
    plan.rank_rows[at(owner)] = row;
  }
}

/// The owner's side: rows from each rank, the experts' offsets, and the blocks between both orders.
void plan_receives(const CountMatrix& counts, const Placement& placement, ExchangePlan& plan) {
  const auto local = placement.local_experts(plan.ep_rank);
  plan.local_experts.assign(local.begin(), local.end());
  plan.recv_counts.assign(at(plan.ep_size), 0);
  plan.expert_offsets.assign(local.size() + 1, 0);
  for (int source = 0; source < plan.ep_size; ++source) {
    for (size_t i = 0; i < local.size(); ++i) {
      plan.recv_counts[at(source)] += counts(source, local[i]);
      plan.expert_offsets[i + 1] += counts(source, local[i]);
    }
  }
  for (size_t i = 0; i < local.size(); ++i) plan.expert_offsets[i + 1] += plan.expert_offsets[i];
  prefix_sums(plan.recv_counts, plan.recv_displs);

  // While blocks are listed, expert_offsets[i] is where the next source's rows of local expert i
  // begin; in the end that is where expert i + 1 begins, so shifting by one restores it.
  plan.landing_blocks.clear();
  plan.landing_blocks.reserve(at(plan.ep_size) * local.size());
  int64_t message_row = 0;
  for (int source = 0; source < plan.ep_size; ++source) {
    for (size_t i = 0; i < local.size(); ++i) {
      const int64_t count = counts(source, local[i]);
      if (count == 0) continue;
      plan.landing_blocks.push_back({message_row, plan.expert_offsets[i], count});
      message_row += count;
      plan.expert_offsets[i] += count;
    }
  }
  std::copy_backward(plan.expert_offsets.begin(), plan.expert_offsets.end() - 1,
                     plan.expert_offsets.end());
  plan.expert_offsets.front() = 0;
}

/// The rank-major row of each assignment: rows of an expert in token order.
void plan_rows(ExchangePlan& plan) {
  plan.send_rows.resize(plan.experts.size());
  // While rows are dealt, expert_send_rows[e] is the next row of expert e; the counts restore it.
  int64_t* const next = plan.expert_send_rows.data();
  for (size_t a = 0; a < plan.experts.size(); ++a) {
    const int32_t expert = plan.experts[a];
    plan.send_rows[a] = expert < 0 ? -1 : next[expert]++;
  }
}

/// Restores expert_send_rows; throws where this rank's counts are not those of its assignments.
void check_rows(const CountMatrix& counts, const Placement& placement, ExchangePlan& plan) {
  int64_t begin = 0;
  for (const int32_t expert : placement.by_rank()) {
    const int64_t announced = counts(plan.ep_rank, expert);
    const int64_t found = plan.expert_send_rows[at(expert)] - begin;
    plan.expert_send_rows[at(expert)] = begin;
    begin += announced;
    if (found != announced) {
      throw RunError("plan: rank " + std::to_string(plan.ep_rank) + " announced " +
                     std::to_string(announced) + " rows for expert " + std::to_string(expert) +
                     " but has " + std::to_string(found));
    }
  }
}

}  // namespace

CountWord count_word(int64_t value, std::string_view what) {
  if (!std::in_range<CountWord>(value)) {
    throw InputError(std::string(what) + ": " + std::to_string(value) + ", where at most " +
                     std::to_string(std::numeric_limits<CountWord>::max()) + " can be counted");
  }
  return static_cast<CountWord>(value);
}

void count_assignments(std::span<const int32_t> experts, std::span<CountWord> counts) {
  count_word(std::ssize(experts), kAssignments);
  std::fill(counts.begin(), counts.end(), 0);
  for (const int32_t expert : experts) {
    if (expert >= 0) ++counts[at(expert)];
  }
}

void count_node_rows(std::span<const int32_t> experts, int top_k,
                     std::span<const int32_t> expert_nodes, std::span<CountWord> rows) {
  count_word(std::ssize(experts), kAssignments);
  std::fill(rows.begin(), rows.end(), 0);
  const auto choices = static_cast<size_t>(top_k);
  for (size_t first = 0; first < experts.size(); first += choices) {
    for (size_t j = 0; j < choices; ++j) {
      if (experts[first + j] < 0) continue;
      const int32_t node = expert_nodes[at(experts[first + j])];
      bool is_first = true;
      for (size_t earlier = 0; earlier < j && is_first; ++earlier) {
        is_first = expert_nodes[at(experts[first + earlier])] != node;
      }
      if (is_first) ++rows[at(node)];
    }
  }
}

void complete_plan(const CountMatrix& counts, const Placement& placement, int ep_rank,
                   ExchangePlan& plan) {
  plan.ep_rank = ep_rank;
  plan.ep_size = placement.ep_size();
  plan.num_experts = placement.num_experts();
  const int64_t words = (plan.ep_size - 1) * counts.row_stride + plan.num_experts;
  const bool is_dense = plan.num_experts == 0 && plan.top_k == 0 && plan.experts.empty();
  const bool is_whole = plan.top_k >= 1 && plan.experts.size() % at(plan.top_k) == 0;
  if (counts.values.size() < at(words) || (!is_dense && !is_whole)) {
    throw RunError("plan: counts or experts do not have the shape of the placement");
  }
  if (!is_dense) plan.tokens = static_cast<int64_t>(plan.experts.size()) / plan.top_k;
  plan_sends(counts, placement, plan);
  plan_landing(counts, placement, plan);
  plan_receives(counts, placement, plan);
  plan_rows(plan);
  check_rows(counts, placement, plan);
}

ExchangePlan make_plan(std::vector<int32_t> experts, int top_k, std::span<const CountWord> counts,
                       const Placement& placement, int ep_rank) {
  ExchangePlan plan;
  plan.experts = std::move(experts);
  plan.top_k = top_k;
  complete_plan({counts, placement.num_experts()}, placement, ep_rank, plan);
  return plan;
}

std::ostream& operator<<(std::ostream& out, const ExchangePlan& plan) {
  const auto list = [&out](const char* name, const auto& values) {
    out << ' ' << name << " [";
    for (size_t i = 0; i < values.size(); ++i) out << (i == 0 ? "" : " ") << values[i];
    out << ']';
  };
  out << "plan of rank " << plan.ep_rank << " of " << plan.ep_size << ": " << plan.tokens
      << " tokens, top " << plan.top_k << " of " << plan.num_experts << " experts;";
  list("send_counts", plan.send_counts);
  list("recv_counts", plan.recv_counts);
  list("local_experts", plan.local_experts);
  list("expert_offsets", plan.expert_offsets);
  return out;
}

}  // namespace hashep
