// SPDX-License-Identifier: Apache-2.0
// What a captured step is made of: no node more, no branch fewer than it needs, and its meetings
// with other ranks in one order.
#include <algorithm>
#include <optional>

#include "comm/plan/message_schedule.hpp"
#include "core/cuda/graph.hpp"
#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/device_stack_ways.hpp"

namespace hashep::test {
namespace {

/// What an exchange asks for. Its dispatch is one chain of nodes.
struct ExchangeShape {
  bool apart = false;           // on a stream of its own
  std::vector<int64_t> landed;  // [parts]: nodes of the chain up to where a part's rows are there
  int64_t given_back = 0;       // nodes between the last part's experts and combine
  int64_t combine = 1;
};

constexpr int64_t kNodesPerTile = 3;       // GEMM, activation, GEMM
constexpr int64_t kNodesBeforeLayers = 1;  // the input's copy

// Scatter.
const ExchangeShape kLocal{.landed = {1}};
// Begin; scatter and meet, for each part. Meet. Combine, and tell that all is fetched.
const ExchangeShape kIpc{.apart = true, .landed = {3, 5}, .given_back = 1, .combine = 2};

/// Tiles that are dealt to lanes evenly, as all are small.
struct Dealt {
  Dealt(int64_t tiles, int lanes)
      : nodes(kNodesPerTile * tiles),
        width(std::min<int64_t>(tiles, lanes)),
        depth(kNodesPerTile * ((tiles + lanes - 1) / lanes)) {}
  int64_t nodes;
  int64_t width;
  int64_t depth;
};

/// The formula: adds a layer to the shape of a step.
void add_layer(const ModelConfig& config, const CudaExecOptions& options,
               const ExchangeShape& exchange, const ExchangePlan& plan, int64_t shared_tiles,
               standin::GraphShape& shape) {
  const auto parts = std::ssize(exchange.landed);
  const Dealt shared(config.num_shared_experts > 0 ? shared_tiles : 0, options.lanes);
  const int64_t gate = config.score == Score::sqrtsoftplus ? 1 : 0;
  const int64_t residual = options.residual ? 1 : 0;

  const int64_t dispatch = exchange.landed.back();
  int64_t at = (exchange.apart ? 0 : dispatch) + gate + shared.depth;
  shape.nodes += dispatch + gate + shared.nodes;
  const int64_t beside = exchange.apart ? 1 : 0;  // dispatch, of later parts too
  shape.width = std::max({shape.width, int64_t{1}, beside + gate, beside + shared.width});
  for (int64_t part = 0; part < parts; ++part) {
    const Range rows = part_rows(plan, parts, part);
    int64_t tiles = 0;
    for (size_t expert = 0; expert + 1 < plan.expert_offsets.size(); ++expert) {
      const int64_t begin = plan.expert_offsets[expert];
      const int64_t end = plan.expert_offsets[expert + 1];
      if (begin < end && begin >= rows.begin && end <= rows.end) ++tiles;
    }
    const Dealt routed(tiles, options.lanes);
    const bool is_last = part + 1 == parts;
    at = std::max(at, exchange.landed[part]) + routed.depth;
    shape.nodes += routed.nodes;
    shape.width = std::max(shape.width, (is_last ? 0 : beside) + routed.width);
  }
  const int64_t end = exchange.given_back + exchange.combine + residual;
  shape.nodes += end;
  shape.depth += at + end;
}

/// Two events for each phase of each layer, and for the step.
int64_t records(const ModelConfig& config, const ExchangeShape& exchange, int64_t layers) {
  const auto parts = std::ssize(exchange.landed);
  const int64_t phases = 2 * parts + 1 + (config.num_shared_experts > 0 ? 1 : 0) +
                         (config.score == Score::sqrtsoftplus ? 1 : 0);
  return 2 * (layers * phases + 1);
}

StackCase plain_case() {
  StackCase c = full_case();
  c.config.num_shared_experts = 0;
  c.config.score = Score::none;
  c.residual = false;
  return c;
}

TEST_CASE("a captured step has the nodes and branches that it needs") {
  Ranks ranks;
  const Topology topology = topology_by_label(ranks.comm, ranks.watch, 0);
  for (const StackCase& c : {full_case(), plain_case()}) {
    for (const bool ipc : {false, true}) {
      if (!ipc && ranks.comm.size() > 1) continue;
      ExchangeShape exchange = ipc ? kIpc : kLocal;
      const bool has_beside =
          c.config.num_shared_experts > 0 || c.config.score == Score::sqrtsoftplus;
      exchange.apart = ipc || has_beside;
      const StackSteps steps(c, 1, one_node(ranks.comm.size()), ranks.comm.rank());
      const BatchPlan& plan = steps.plan(0);
      const int64_t shared =
          shared_tiles(plan.first_token, plan.tokens, plan.global_tokens).num_tiles;
      for (const bool timed : {false, true}) {
        INFO(c.name() << (ipc ? ", ipc" : ", local") << (timed ? ", timed" : ""));
        standin::reset(standin::Order::lazy);
        CudaExecOptions options = gpu_options(c);
        options.graph = GraphMode::on;
        options.timed = timed;
        CudaStack stack(c.config, steps.weights(), steps.placements(), ranks.comm.rank(), options,
                        ipc ? make_transport({"ipc"}, ranks, topology) : nullptr);
        stack.set_input(steps.input());
        stack.prepare(plan);
        const standin::GraphShape got = standin::last_graph();
        standin::GraphShape want{.nodes = kNodesBeforeLayers, .depth = kNodesBeforeLayers};
        for (const ExchangePlan& layer : plan.layers) {
          CHECK(layer.total_recv() > 0);
          add_layer(c.config, options, exchange, layer, shared, want);
        }
        if (timed) {
          CHECK(got.nodes == want.nodes + records(c.config, exchange, std::ssize(plan.layers)));
          continue;
        }
        CHECK(got.nodes == want.nodes);
        CHECK(got.width == want.width);
        CHECK(got.depth == want.depth);
        CHECK(want.width > 1);
      }
    }
  }
}

TEST_CASE("what ranks wait for each other with comes in one order in a captured step") {
  Ranks ranks;
  const StackCase c = full_case();
  for (const StackWay& way : stack_ways()) {
    if (way.graph != GraphMode::on) continue;
    INFO(way.name());
    standin::reset(standin::Order::lazy);
    const Topology topology =
        topology_by_label(ranks.comm, ranks.watch, ranks.comm.rank() / way.ranks_per_node);
    const StackSteps steps(c, 1,
                           way.transport == "hier" ? topology.nodes : one_node(ranks.comm.size()),
                           ranks.comm.rank());
    CudaExecOptions options = gpu_options(c);
    options.graph = GraphMode::on;
    CudaStack stack(c.config, steps.weights(), steps.placements(), ranks.comm.rank(), options,
                    make_transport(way, ranks, topology));
    stack.set_input(steps.input());
    stack.prepare(steps.plan(0));
    CHECK(standin::last_graph().meets_in_one_order);
  }
}

}  // namespace
}  // namespace hashep::test
