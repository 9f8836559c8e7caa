// SPDX-License-Identifier: Apache-2.0
// The same bits over MPI: each rank compares its rows with those of one rank alone, and plans made
// with an exchange with plans made without.
#include <algorithm>
#include <optional>

#include "kernels/ffn/tiles.hpp"
#include "runtime/layer/backend_factory.hpp"
#include "runtime/layer/oracle_check.hpp"
#include "runtime/layer/stream_planner.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/local_stack.hpp"
#include "tests/support/ranks.hpp"

using namespace hashep;

namespace {

/// A transport on some nodes.
struct Way {
  TransportKind kind;
  const Topology& topology;
  bool reduce = false;
};

std::vector<float> to_floats(std::span<const std::byte> rows, DType dtype) {
  std::vector<float> values(rows.size() / static_cast<size_t>(dtype_size(dtype)));
  convert_to_float(dtype, rows.data(), static_cast<int64_t>(values.size()), values.data());
  return values;
}

/// This rank's rows of all.
std::span<const std::byte> own_rows(const test::StackCase& c, std::span<const std::byte> all,
                                    const Communicator& comm) {
  const Range rows = split_range(c.batch_tokens, comm.size(), comm.rank());
  const auto row_bytes = static_cast<size_t>(c.config.hidden_size * dtype_size(c.dtype));
  return all.subspan(static_cast<size_t>(rows.begin) * row_bytes,
                     static_cast<size_t>(rows.size()) * row_bytes);
}

}  // namespace

TEST_CASE("every transport gives the bits of one rank alone; node-reduce, nearly") {
  test::Ranks ranks;
  const Topology found = find_topology(ranks.comm, ranks.watch);
  std::vector<Way> ways{{TransportKind::mpi, found}, {TransportKind::hier, found}};
  std::optional<Topology> pairs;
  if (found.nodes.num_nodes() == 1) {
    ways.push_back({TransportKind::shm, found});
    pairs.emplace(topology_by_label(ranks.comm, ranks.watch, ranks.comm.rank() / 2));
    ways.push_back({TransportKind::hier, *pairs});
    ways.push_back({TransportKind::hier, *pairs, true});
  }
  for (const test::StackCase& c : test::stack_cases()) {
    const auto all = test::run_stack_locally(c, 1);
    const auto expected = own_rows(c, all, ranks.comm);
    for (const Way& way : ways) {
      INFO(transport_name(way.kind) << " on " << way.topology.nodes << ", " << c.name());
      const auto transport =
          make_transport(way.kind, ranks.comm, way.topology, ranks.watch, c.threads);
      CHECK(transport->name() == transport_name(way.kind));
      const auto mine =
          test::run_stack(c, *transport, {way.topology.nodes, way.reduce}, ranks.comm.rank());
      CHECK(mine.size() == expected.size());
      CHECK(mine.size() > 0);
      if (!way.reduce) {
        CHECK(std::ranges::equal(mine, expected));
        continue;
      }
      const auto difference =
          compare_with_oracle(to_floats(mine, c.dtype), exact_values(to_floats(expected, c.dtype)),
                              c.config.hidden_size);
      CHECK(difference.relative_error < (c.dtype == DType::f32 ? 1e-5 : 1e-2));
    }
  }
}

namespace {

/// Tiles of this rank's experts in layer 0 whose rows all come from ranks of its node, and others.
std::pair<int, int> near_and_far_tiles(const test::StackCase& c, const Topology& topology,
                                       const Communicator& comm) {
  const auto stream = test::stack_stream(c);
  const test::CaseRouting routing = test::stack_routing(c, *stream, {topology.nodes});
  PhaseLog log(nullptr, 1, false);
  StreamPlanner planner(routing.geometry, *routing.router, *stream,
                        {.batch_tokens = c.batch_tokens,
                         .seq_len = c.seq_len,
                         .ep_size = comm.size(),
                         .ep_rank = comm.rank()},
                        {.planning = Planning::replicated}, std::nullopt, log);
  planner.begin();
  const ExchangePlan& plan = planner.take().layers.front();
  std::pair<int, int> tiles;
  for_each_tile(plan.expert_offsets, [&](const ExpertTile& tile) {
    bool is_far = false;
    for (const Range& rows : plan.across.far_rows) {
      is_far = is_far || (rows.begin < tile.first_row + tile.count && rows.end > tile.first_row);
    }
    ++(is_far ? tiles.second : tiles.first);
  });
  return tiles;
}

}  // namespace

TEST_CASE("tiles computed while rows of other nodes travel give the bits of one rank alone") {
  test::Ranks ranks;
  std::optional<Topology> pairs(find_topology(ranks.comm, ranks.watch));
  if (pairs->nodes.num_nodes() == 1) {
    pairs.emplace(topology_by_label(ranks.comm, ranks.watch, ranks.comm.rank() / 2));
  }
  test::StackCase c = test::stack_cases().front();
  c.config.num_experts = 4;
  c.config.top_k = 2;
  c.batch_tokens = 4800;  // some five tiles for each expert
  c.seq_len = 1024;
  const auto all = test::run_stack_locally(c, 1);
  const auto expected = own_rows(c, all, ranks.comm);
  const auto transport =
      make_transport(TransportKind::hier, ranks.comm, *pairs, ranks.watch, c.threads);
  const auto mine = test::run_stack(c, *transport, {pairs->nodes}, ranks.comm.rank());
  CHECK(mine.size() == expected.size());
  CHECK(std::ranges::equal(mine, expected));
  const auto [near, far] = near_and_far_tiles(c, *pairs, ranks.comm);
  if (pairs->nodes.num_nodes() == 2 && ranks.comm.size() == 4) {
    CHECK(near > 0);
    CHECK(far > 0);
  }
}

TEST_CASE("plans from the exchange equal plans that every rank makes by itself, step by step") {
  test::Ranks ranks;
  const Topology topology = topology_by_label(ranks.comm, ranks.watch, ranks.comm.rank());
  const int64_t exchange = ranks.comm.size() > 1 ? 1 : 0;
  for (const test::StackCase& c : test::stack_cases()) {
    INFO(c.name());
    const auto stream = test::stack_stream(c);
    const test::CaseRouting routing =
        test::stack_routing(c, *stream, {one_node(ranks.comm.size())});
    const BatchSplit split{.batch_tokens = c.batch_tokens,
                           .seq_len = c.seq_len,
                           .ep_size = ranks.comm.size(),
                           .ep_rank = ranks.comm.rank()};
    PhaseLog log(&ranks.watch, 16, false);
    StreamPlanner exchanged(routing.geometry, *routing.router, *stream, split,
                            {.planning = Planning::exchange},
                            JobRanks{ranks.comm, topology, ranks.watch}, log);
    StreamPlanner replicated(routing.geometry, *routing.router, *stream, split,
                             {.planning = Planning::replicated}, std::nullopt, log);
    for (int64_t step = 0; step < 3; ++step) {
      const int64_t before = ranks.watch.collectives();
      exchanged.begin();
      const BatchPlan& one = exchanged.take();
      CHECK(ranks.watch.collectives() - before == exchange);  // one exchange plans all layers
      replicated.begin();
      const BatchPlan& other = replicated.take();
      CHECK(ranks.watch.collectives() - before == exchange);
      CHECK(one.layers == other.layers);
      CHECK(one.first_token == other.first_token);
      CHECK(one.global_tokens == c.batch_tokens);
      CHECK(one.counts_digest == other.counts_digest);
      CHECK(one.expert_counts == other.expert_counts);
    }
    CHECK(exchanged.exchanges() == 3);
    CHECK(replicated.exchanges() == 0);
  }
}
