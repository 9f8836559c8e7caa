// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "comm/exchange/hier_transport.hpp"
#include "comm/exchange/mpi_transport.hpp"
#include "comm/exchange/shm_transport.hpp"
#include "comm/plan/traffic.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/random_routing.hpp"
#include "tests/support/ranks.hpp"

using namespace hashep;

namespace {

constexpr int64_t kHiddenSize = 5;

/// Reserves for the plans of some layers, and returns what row_buffer_bytes says of them.
int64_t reserve_layers(Transport& transport, const NodeMap& nodes, int ep_rank, RowBuffers exchange,
                       bool reduces) {
  std::mt19937 random(31);
  std::vector<ExchangePlan> plans;
  BufferRows largest;
  for (int layer = 0; layer < 3; ++layer) {
    std::vector<int64_t> tokens;
    for (int rank = 0; rank < nodes.ep_size(); ++rank) {
      tokens.push_back(static_cast<int64_t>(20 + random() % 50));
    }
    const auto routing =
        test::random_routing(random, nodes.ep_size(), 9, 3, tokens, test::Skew::padded);
    const Placement placement = contiguous_placement(9, nodes.ep_size());
    const auto words = routing.words(placement, nodes);
    const LayerTraffic traffic =
        layer_traffic({words, routing.num_experts + nodes.num_nodes()}, placement, nodes);
    keep_largest(traffic.buffers[ep_rank], largest);
    plans.push_back(routing.plan(placement, ep_rank, nodes, reduces));
  }
  transport.reserve(plans, DType::f32, kHiddenSize, {});
  return row_buffer_bytes(largest, exchange, reduces, kHiddenSize * dtype_size(DType::f32));
}

}  // namespace

TEST_CASE("the buffers of each transport are as large as is told without it") {
  test::Ranks ranks;
  const int rank = ranks.comm.rank();
  const int size = ranks.comm.size();
  const Topology found = find_topology(ranks.comm, ranks.watch);
  {
    MpiTransport transport(ranks.comm, ranks.watch, 1);
    const int64_t expected =
        reserve_layers(transport, one_node(size), rank, RowBuffers::messages, false);
    CHECK(expected > 0);
    CHECK(transport.buffer_bytes() == expected);
  }
  if (found.nodes.num_nodes() > 1) return;
  {
    ShmTransport transport(found, rank, ranks.watch, 1);
    const int64_t expected =
        reserve_layers(transport, one_node(size), rank, RowBuffers::shared_memory, false);
    CHECK(expected > 0);
    CHECK(transport.buffer_bytes() == expected);
  }
  for (const int label : {rank, rank / 2, rank % 2, rank < 3 ? 0 : rank}) {
    const Topology topology = topology_by_label(ranks.comm, ranks.watch, label);
    for (const bool reduces : {false, true}) {
      HierTransport transport(ranks.comm, topology, ranks.watch, 1);
      const int64_t expected =
          reserve_layers(transport, topology.nodes, rank, RowBuffers::shared_memory, reduces);
      CHECK(expected > 0);
      CHECK(transport.buffer_bytes() == expected);
    }
  }
}
