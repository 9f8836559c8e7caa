// SPDX-License-Identifier: Apache-2.0
#include "hashep/node_plan.hpp"

#include <string>

#include "comm/plan/plan_size.hpp"
#include "hashep/error.hpp"
#include "hashep/exchange_plan.hpp"

namespace hashep {
namespace {

size_t at(int64_t index) {
  return static_cast<size_t>(index);
}

/// The nodes other than `node`, the next higher one first, around: so that nodes do not all send to
/// the same one at once.
template <typename Body>
void for_each_other_node(const NodeMap& nodes, int node, Body&& body) {
  for (int step = 1; step < nodes.num_nodes(); ++step) body((node + step) % nodes.num_nodes());
}

/// Numbers every node's experts.
void number_experts(const Placement& placement, const NodeMap& nodes, int own_node,
                    NodePlan& plan) {
  plan.expert_routes.resize(at(placement.num_experts()));
  plan.expert_outgoing.resize(at(placement.num_experts()));
  plan.node_experts.clear();
  size_t own_experts = 0;
  for (const int32_t rank : nodes.ranks_of(own_node)) {
    own_experts += placement.local_experts(rank).size();
  }
  plan.node_experts.reserve(own_experts);
  for (int node = 0; node < nodes.num_nodes(); ++node) {
    int64_t next = 0;
    for (const int32_t rank : nodes.ranks_of(node)) {
      for (const int32_t expert : placement.local_experts(rank)) {
        if (next >= NodePlan::kLastRoute) {
          throw InputError("a node has more than " + std::to_string(NodePlan::kLastRoute) +
                           " experts of a layer");
        }
        plan.expert_routes[at(expert)] = static_cast<NodePlan::Route>(next++);
        plan.expert_outgoing[at(expert)] =
            (node - own_node + nodes.num_nodes()) % nodes.num_nodes() - 1;
        if (node == own_node) plan.node_experts.push_back(expert);
      }
    }
  }
}

/// Which rows go to each other node, and with which routes; which result returns where.
void plan_outgoing(const CountMatrix& counts, const Placement& placement, const NodeMap& nodes,
                   ExchangePlan& plan) {
  NodePlan& across = plan.across;
  const int own_node = nodes.node_of(plan.ep_rank);
  across.outgoing.resize(at(nodes.num_nodes() - 1));
  for_each_other_node(nodes, own_node, [&, i = size_t{0}](int node) mutable {
    NodePlan::Outgoing& out = across.outgoing[i++];
    out.node = node;
    out.peer = nodes.peer_of(plan.ep_rank, node);
    out.tokens.clear();
    out.routes.clear();
    out.tokens.reserve(at(counts(plan.ep_rank, plan.num_experts + node)));
    int64_t routes = 0;
    for (const int32_t rank : nodes.ranks_of(node)) {
      for (const int32_t expert : placement.local_experts(rank)) {
        routes += counts(plan.ep_rank, expert);
      }
    }
    out.routes.reserve(at(routes));
  });
  across.return_rows.assign(plan.experts.size(), -1);
  for (int64_t a = 0; a < static_cast<int64_t>(plan.experts.size()); ++a) {
    const int32_t expert = plan.experts[at(a)];
    if (expert < 0) continue;
    const int32_t outgoing = across.expert_outgoing[at(expert)];
    if (outgoing < 0) {
      across.return_rows[at(a)] = plan.send_rows[at(a)];
      continue;
    }
    NodePlan::Outgoing& out = across.outgoing[at(outgoing)];
    const auto token = static_cast<int32_t>(a / plan.top_k);
    const bool is_first = out.tokens.empty() || out.tokens.back() != token;
    if (is_first) {
      if (!out.routes.empty()) out.routes.back() |= NodePlan::kLastRoute;
      out.tokens.push_back(token);
    }
    // Counted from the first row of this node; plan_returns adds where that one stands.
    if (!across.reduces) across.return_rows[at(a)] = out.num_routes();
    if (across.reduces && is_first) across.return_rows[at(a)] = out.num_rows() - 1;
    out.routes.push_back(across.expert_routes[at(expert)]);
  }
  for (NodePlan::Outgoing& out : across.outgoing) {
    if (!out.routes.empty()) out.routes.back() |= NodePlan::kLastRoute;
  }
}

/// Lays the rows that return from all other nodes one after the other.
void plan_returns(ExchangePlan& plan) {
  NodePlan& across = plan.across;
  int64_t first = 0;
  for (NodePlan::Outgoing& out : across.outgoing) {
    out.first_return = first;
    out.num_returns = across.reduces ? out.num_rows() : out.num_routes();
    first += out.num_returns;
  }
  for (size_t a = 0; a < plan.experts.size(); ++a) {
    if (across.return_rows[a] < 0) continue;
    const int32_t outgoing = across.expert_outgoing[at(plan.experts[a])];
    if (outgoing >= 0) across.return_rows[a] += across.outgoing[at(outgoing)].first_return;
  }
}

/// Which ranks' rows this rank takes in, and where they land.
void plan_incoming(const CountMatrix& counts, const Placement& placement, const NodeMap& nodes,
                   ExchangePlan& plan) {
  NodePlan& across = plan.across;
  const int own_node = nodes.node_of(plan.ep_rank);
  across.incoming.reserve(at(count_sources(nodes, plan.ep_rank)));
  size_t used = 0;
  for_each_other_node(nodes, own_node, [&](int node) {
    for (const int32_t source : nodes.ranks_of(node)) {
      if (nodes.peer_of(source, own_node) != plan.ep_rank) continue;
      if (used == across.incoming.size()) across.incoming.emplace_back();
      NodePlan::Incoming& in = across.incoming[used++];
      in.source = source;
      in.num_rows = counts(source, plan.num_experts + own_node);
      in.num_routes = 0;
      in.landing_rows.clear();
      in.landing_rows.reserve(across.node_experts.size());
      for (const int32_t rank : nodes.ranks_of(own_node)) {
        int64_t row = 0;
        for (const int32_t expert : placement.local_experts(rank)) {
          for (int before = 0; before < source; ++before) row += counts(before, expert);
          in.landing_rows.push_back(row);
          in.num_routes += counts(source, expert);
          for (int after = source; after < plan.ep_size; ++after) row += counts(after, expert);
        }
      }
      in.num_returns = across.reduces ? in.num_rows : in.num_routes;
    }
  });
  across.incoming.resize(used);
}

/// Which of this rank's expert-major rows come from other nodes.
void plan_far_rows(const CountMatrix& counts, const NodeMap& nodes, ExchangePlan& plan) {
  std::vector<Range>& far = plan.across.far_rows;
  far.clear();
  far.reserve(at(count_far_ranges(counts, nodes, plan.local_experts, plan.ep_rank)));
  int64_t row = 0;
  for (const int32_t expert : plan.local_experts) {
    for (int source = 0; source < plan.ep_size; ++source) {
      const int64_t count = counts(source, expert);
      if (count > 0 && nodes.node_of(source) != nodes.node_of(plan.ep_rank)) {
        if (far.empty() || far.back().end != row) far.push_back({row, row});
        far.back().end += count;
      }
      row += count;
    }
  }
}

}  // namespace

void complete_node_plan(const CountMatrix& counts, const Placement& placement, const NodeMap& nodes,
                        bool reduces, ExchangePlan& plan) {
  if (nodes.ep_size() != plan.ep_size) {
    throw RunError("plan: " + std::to_string(nodes.ep_size()) + " ranks on nodes, " +
                   std::to_string(plan.ep_size) + " in the plan");
  }
  if (nodes.num_nodes() == 1) {
    plan.across = NodePlan{};
    return;
  }
  plan.across.reduces = reduces;
  number_experts(placement, nodes, nodes.node_of(plan.ep_rank), plan.across);
  plan_outgoing(counts, placement, nodes, plan);
  plan_returns(plan);
  plan_incoming(counts, placement, nodes, plan);
  plan_far_rows(counts, nodes, plan);
  for (const NodePlan::Outgoing& out : plan.across.outgoing) {
    const int64_t announced = counts(plan.ep_rank, plan.num_experts + out.node);
    if (out.num_rows() != announced) {
      throw RunError("plan: rank " + std::to_string(plan.ep_rank) + " announced " +
                     std::to_string(announced) + " rows for node " + std::to_string(out.node) +
                     " but has " + std::to_string(out.num_rows()));
    }
  }
}

}  // namespace hashep
