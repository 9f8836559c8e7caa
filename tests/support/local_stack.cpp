// SPDX-License-Identifier: Apache-2.0
#include "tests/support/local_stack.hpp"

#include <thread>

#include "comm/exchange/local_transport.hpp"
#include "runtime/layer/layer_stack.hpp"
#include "runtime/layer/stream_planner.hpp"
#include "runtime/model/synthetic_weights.hpp"

namespace hashep::test {

std::vector<std::byte> run_plan(const StackCase& c, const StackGeometry& geometry, BatchPlan plan,
                                Transport& transport, int ep_rank) {
  const auto weights = make_synthetic_weights(c.config, c.dtype, kStackSeed);
  LayerStack stack(c.config, *weights, geometry.placements(), ep_rank, c.residual,
                   {.dtype = c.dtype, .threads = c.threads, .check_finite = true}, transport);
  PhaseLog log(nullptr, 16, false);
  stack.prepare(plan);
  std::vector<std::byte> x = stack_rows(c, {plan.first_token, plan.first_token + plan.tokens});
  stack.run(plan, {x.data(), c.dtype, plan.tokens, c.config.hidden_size}, log);
  return x;
}

std::vector<std::byte> run_stack(const StackCase& c, Transport& transport, const StackNodes& nodes,
                                 int ep_rank) {
  const auto stream = stack_stream(c);
  const CaseRouting routing = stack_routing(c, *stream, nodes);
  PhaseLog log(nullptr, 16, false);
  StreamPlanner planner(routing.geometry, *routing.router, *stream,
                        {.batch_tokens = c.batch_tokens,
                         .seq_len = c.seq_len,
                         .ep_size = nodes.nodes.ep_size(),
                         .ep_rank = ep_rank},
                        {.planning = Planning::replicated}, std::nullopt, log);
  planner.begin();
  return run_plan(c, routing.geometry, planner.take(), transport, ep_rank);
}

std::vector<std::byte> run_stack_locally(const StackCase& c, int ep_size) {
  LocalGroup group(ep_size);
  std::vector<std::vector<std::byte>> parts(ep_size);
  std::vector<std::jthread> ranks;
  for (int rank = 0; rank < ep_size; ++rank) {
    ranks.emplace_back([&, rank] {
      LocalTransport transport(group, rank);
      parts[rank] = run_stack(c, transport, {one_node(ep_size)}, rank);
    });
  }
  ranks.clear();  // joins
  std::vector<std::byte> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

}  // namespace hashep::test
