// SPDX-License-Identifier: Apache-2.0
// Exchanges between GPUs on the stand-in, over 1 to 4 ranks: every row in its place, and the bits
// of the exchange between CPUs.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "comm/agreement.hpp"
#include "comm/exchange/hier_device_transport.hpp"
#include "comm/exchange/nccl_transport.hpp"
#include "comm/exchange/peer_memory.hpp"
#include "core/cuda/stream.hpp"
#include "tests/standin/nccl.hpp"
#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/device_ways.hpp"
#include "tests/support/random_routing.hpp"

namespace hashep::test {
namespace {

constexpr int kRounds = 60;

TEST_CASE("every exchange between GPUs puts every row in its place") {
  Ranks ranks;
  for (const DeviceWay& way : device_ways()) {
    for (const auto order : {standin::Order::eager, standin::Order::lazy}) {
      INFO(way.name << (order == standin::Order::lazy ? ", lazy" : ", eager"));
      standin::reset(order);
      check_rows_in_place(ranks, exchange_way(way, order == standin::Order::lazy), kRounds);
    }
  }
}

TEST_CASE("no exchange between GPUs waits for what is asked for later") {
  Ranks ranks;
  std::mt19937 random(29);
  for (const DeviceWay& way : device_ways()) {
    INFO(way.name);
    standin::reset(standin::Order::blocking);
    check_bits(ranks, exchange_way(way, true), random);
    for (const int queues : {1, 2, 8}) {
      standin::reset(standin::Order::queues, queues);
      check_bits(ranks, exchange_way(way, true), random);
    }
  }
}

TEST_CASE("exchanges between GPUs give the bits of those between CPUs") {
  Ranks ranks;
  standin::reset(standin::Order::lazy);
  std::mt19937 random(23);
  for (const DeviceWay& way : device_ways()) {
    INFO(way.name);
    check_bits(ranks, exchange_way(way, true), random);
  }
}

/// This rank's plan of a batch with about 1 % more tokens than the one before.
ExchangePlan rising_plan(int batch, std::mt19937& random, const NodeMap& nodes, int ep_rank) {
  const int size = nodes.ep_size();
  const auto tokens = static_cast<int64_t>(std::lround(300 * std::pow(1.01, batch)));
  const std::vector<int64_t> of_ranks(size, tokens);
  const auto routing = random_routing(random, size, 12, 2, of_ranks, Skew::uniform);
  return routing.plan(contiguous_placement(12, size), ep_rank, nodes);
}

TEST_CASE("memory that GPUs share grows seldom where plans grow slowly") {
  Ranks ranks;
  constexpr int kBatches = 100;
  constexpr int64_t kHiddenSize = 4096;
  for (const DeviceWay& way : device_ways()) {
    const bool is_hier = way.name.starts_with("hier");
    if (way.name != "ipc, 1 parts" && way.name != "hier, 2 ranks a node") continue;
    INFO(way.name);
    standin::reset(standin::Order::eager);
    std::mt19937 random(5);
    const int rank = ranks.comm.rank();
    const Topology topology = topology_by_label(ranks.comm, ranks.watch, rank / way.ranks_per_node);
    const auto transport = way.make(ranks, topology);
    const CudaStream stream;
    const int64_t before = standin::calls("cudaIpcGetMemHandle");
    int64_t most = 0;
    for (int batch = 0; batch < kBatches; ++batch) {
      const ExchangePlan plan = rising_plan(batch, random, topology.nodes, rank);
      const bool moved = transport->reserve({&plan, 1}, DType::f32, kHiddenSize, {});
      most = std::max(most, plan.total_recv() * kHiddenSize * dtype_size(DType::f32));
      const int64_t held = transport->buffer_bytes();
      CHECK(held >= most);
      if (is_hier) continue;
      if (batch == 0) CHECK(moved);
      CHECK(held <= (batch == 0 ? whole_gpu_pages(most) : grown_bytes(most)));
      const auto all = gather_word(ranks.comm, ranks.watch, held);
      CHECK(transport->shared_bytes() == std::accumulate(all.begin(), all.end(), -held));
    }
    CHECK(most > 10 * kGpuPageBytes);
    const int64_t growths = standin::calls("cudaIpcGetMemHandle") - before;
    CHECK(growths > 3);
    CHECK(growths < 15);
  }
}

/// A batch of which only every 64th token has an expert of another rank: the next one's.
RandomRouting mostly_local(int ep_size, int64_t tokens) {
  RandomRouting routing{ep_size, 1, ep_size, {}, {}};
  routing.counts.resize(ep_size * ep_size);
  for (int rank = 0; rank < ep_size; ++rank) {
    std::vector<int32_t> experts(tokens, rank);
    for (size_t token = 0; token < experts.size(); token += 64) {
      experts[token] = (rank + 1) % ep_size;
    }
    const auto at = static_cast<size_t>(rank * ep_size);
    count_assignments(experts, std::span(routing.counts).subspan(at, ep_size));
    routing.experts.push_back(std::move(experts));
  }
  return routing;
}

TEST_CASE("a plan on a GPU takes room for rows that cross, not for every token and node") {
  Ranks ranks;
  standin::reset(standin::Order::eager);
  const int size = ranks.comm.size();
  const int rank = ranks.comm.rank();
  constexpr int64_t kTokens = 4096;
  constexpr int64_t kTables = 8192;  // places of experts, and gaps between arrays
  const Topology topology = topology_by_label(ranks.comm, ranks.watch, rank);
  HierDeviceTransport transport(ranks.comm, topology, ranks.watch);
  const ExchangePlan plan =
      mostly_local(size, kTokens).plan(contiguous_placement(size, size), rank, topology.nodes);
  const CudaStream stream;
  transport.reserve({&plan, 1}, DType::bf16, 8, {});
  const auto exchange = transport.make_exchange();
  exchange->begin(plan);
  ArrayLayout measured;
  exchange->lay_out(measured);
  int64_t crossing = 0;
  for (const NodePlan::Outgoing& out : plan.across.outgoing) crossing += out.num_rows();
  CHECK(crossing == (size > 1 ? kTokens / 64 : 0));
  const int64_t of_tokens = kTokens * (sizeof(int32_t) + 2 * sizeof(int64_t));
  CHECK(measured.bytes() < of_tokens + 64 * crossing + kTables);
}

TEST_CASE("messages of one part wait for no kernel of the part before") {
  Ranks ranks;
  if (ranks.comm.size() == 1) return;
  standin::reset(standin::Order::eager);
  std::mt19937 random(5);
  const std::vector<int64_t> tokens(ranks.comm.size(), 40);
  const auto routing = random_routing(random, ranks.comm.size(), 8, 2, tokens, Skew::uniform);
  const ExchangePlan plan =
      routing.plan(contiguous_placement(8, ranks.comm.size()), ranks.comm.rank());
  NcclTransport transport(ranks.comm, ranks.watch, {Landing::unpack, 2});
  const CudaStream stream;
  transport.reserve({&plan, 1}, DType::f32, 4, {});
  const auto exchange = transport.make_exchange();
  exchange->begin(plan);
  ArrayLayout measured;
  exchange->lay_out(measured);
  PinnedBuffer staging(measured.bytes());
  const DeviceBuffer arrays(measured.bytes());
  ArrayLayout layout(staging.data(), arrays.data());
  exchange->lay_out(layout);
  copy_async(arrays.data(), staging.data(), layout.bytes(), stream);
  const DeviceBuffer memory(plan.tokens * 4 * dtype_size(DType::f32));
  const MatrixView x = memory.matrix(DType::f32, plan.tokens, 4);
  fill_async(x.data, 0, x.bytes(), stream);
  const int64_t kernels = standin::calls("kernel");
  const int64_t groups = standin::nccl_groups();

  exchange->dispatch(0, x, stream);
  bool is_open = false;
  standin::enqueue_polled(stream,
                          [&] { return [&] { return is_open; }; });  // as if still unpacking
  exchange->dispatch(1, x, stream);
  Watch watch(ranks.comm, 10.0, nullptr);
  const auto meet = [&](int64_t count) {
    watch.wait_until(
        1, [&] { return standin::nccl_groups() - groups >= count; }, [] { return ""; });
  };
  meet(2);
  CHECK(!is_open);
  is_open = true;
  transport.wait_for(stream);
  CHECK(standin::calls("kernel") - kernels == 5);  // two to pack, two to unpack, and that one

  for (const int part : {0, 1}) exchange->give_back(part, {}, stream);
  meet(4);
  transport.wait_for(stream);
  CHECK(standin::calls("kernel") - kernels == 7);

  // Nor do the rows of the first part wait for messages of the second.
  standin::nccl_never_complete(standin::nccl_groups() + 1);
  exchange->dispatch(0, x, stream);
  const CudaEvent landed;
  landed.record(stream);
  exchange->dispatch(1, x, stream);
  watch.wait_until(
      1, [&] { return landed.is_done(); }, [] { return ""; });
  transport.begin_abort();
  CHECK(transport.end_abort());
  stream.synchronize();
}

TEST_CASE("ranks agree on whether their GPUs reach each other's memory") {
  Ranks ranks;
  const Topology topology = topology_by_label(ranks.comm, ranks.watch, 0);
  standin::reset(standin::Order::eager);
  const bool alone = ranks.comm.size() == 1;
  CHECK(peers_reach_each_other(topology.node, ranks.watch, 0));
  const int last = ranks.comm.size() - 1;
  for (const char* const call : {"cudaIpcGetMemHandle", "cudaIpcOpenMemHandle"}) {
    INFO(call);
    constexpr int kMapFailed = 205;
    if (ranks.comm.rank() == last) standin::fail(call, kMapFailed);
    // A rank alone maps nothing.
    const bool reach = peers_reach_each_other(topology.node, ranks.watch, 0);
    CHECK(reach == (alone && std::string(call) == "cudaIpcOpenMemHandle"));
    standin::reset(standin::Order::eager);
  }
  // Two GPUs, of which each rank takes one.
  standin::set_gpu_count(2);
  standin::set_peer_access(false);
  CHECK(peers_reach_each_other(topology.node, ranks.watch, ranks.comm.rank() % 2) == alone);
  standin::reset(standin::Order::eager);
}

TEST_CASE("what needs no memory of peers works where they refuse it") {
  Ranks ranks;
  standin::reset(standin::Order::eager);
  standin::fail("cudaIpcGetMemHandle", 1);
  const auto ways = device_ways(false);
  CHECK(ways.size() > 0);
  for (const DeviceWay& way : ways) {
    INFO(way.name);
    check_rows_in_place(ranks, exchange_way(way, false), 1);
  }
  CHECK(standin::calls("cudaIpcGetMemHandle") == 0);
  CHECK(device_ways().size() > ways.size());
}

}  // namespace
}  // namespace hashep::test
