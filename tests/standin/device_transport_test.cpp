// SPDX-License-Identifier: Apache-2.0
// Exchanges between GPUs on the stand-in, over 1 to 4 ranks: every row in its place, and the bits
// of the exchange between CPUs.
#include "comm/transport/nccl_transport.hpp"
#include "comm/transport/peer_memory.hpp"
#include "tests/standin/nccl.hpp"
#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/device_ways.hpp"
#include "tests/support/random_routing.hpp"

namespace hashep::test {
namespace {

TEST_CASE("every exchange between GPUs puts every row in its place") {
  Ranks ranks;
  for (const DeviceWay& way : device_ways()) {
    for (const auto order : {standin::Order::eager, standin::Order::lazy}) {
      INFO(way.name << (order == standin::Order::lazy ? ", lazy" : ", eager"));
      standin::reset(order);
      check_rows_in_place(ranks, way, order == standin::Order::lazy);
    }
  }
}

TEST_CASE("exchanges between GPUs give the bits of those between CPUs") {
  Ranks ranks;
  standin::reset(standin::Order::lazy);
  std::mt19937 random(23);
  for (const DeviceWay& way : device_ways()) {
    INFO(way.name);
    check_bits_of_cpus(ranks, way, random);
  }
}

TEST_CASE("messages of one part wait for no kernel of the part before") {
  Ranks ranks;
  if (ranks.comm.size() == 1) return;
  standin::reset(standin::Order::eager);
  std::mt19937 random(5);
  const std::vector<int64_t> tokens(static_cast<size_t>(ranks.comm.size()), 40);
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

  for (const int part : {0, 1}) exchange->give_back(part, stream);
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

}  // namespace
}  // namespace hashep::test
