// SPDX-License-Identifier: Apache-2.0
// Exchanges between real GPUs, one a rank or shared, under mpirun: every row in its place, the bits
// of the exchange between CPUs, and stacks that give the bits of one GPU alone.
#include <cstdio>

#include "comm/exchange/peer_memory.hpp"
#include "core/cuda/device.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/device_stack_ways.hpp"
#include "tests/support/device_ways.hpp"

namespace hashep::test {
namespace {

constexpr int kRounds = 8;  // processes that share a GPU take turns of milliseconds

/// Containers may forbid what GPUs can do: what needs it is then left out, which run.sh tells.
bool peers_reach(Ranks& ranks) {
  const Topology topology = topology_by_label(ranks.comm, ranks.watch, 0);
  const bool reach = peers_reach_each_other(topology.node, ranks.watch, current_gpu());
  if (!reach && ranks.comm.rank() == 0) {
    std::printf("left out: ipc, hier: GPUs of a node do not reach each other's memory\n");
  }
  return reach;
}

TEST_CASE("every exchange between GPUs puts every row in its place") {
  Ranks ranks(kGpuDeadline);
  for (const DeviceWay& way : device_ways(peers_reach(ranks))) {
    for (const bool graph : {false, true}) {
      INFO(way.name << (graph ? ", graph" : ""));
      check_rows_in_place(ranks, exchange_way(way, graph), kRounds);
    }
  }
}

TEST_CASE("exchanges between GPUs give the bits of those between CPUs") {
  Ranks ranks(kGpuDeadline);
  std::mt19937 random(23);
  for (const DeviceWay& way : device_ways(peers_reach(ranks))) {
    INFO(way.name);
    check_bits(ranks, exchange_way(way, true), random);
  }
}

TEST_CASE("stacks on several GPUs give the bits of one") {
  Ranks ranks(kGpuDeadline);
  const std::vector<StackWay> ways = stack_ways(peers_reach(ranks));
  StackCase c = full_case();
  c.config.hidden_size = 64;  // rows of 16-byte words; other sizes are the kernels' tests
  c.config.ffn_size = 96;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    c.dtype = dtype;
    CudaExecOptions options = gpu_options(c);
    options.workspace_bytes = int64_t{32} << 20;  // as much as cuBLAS likes
    const auto expected = results_alone(c, ranks.comm.size(), ranks.comm.rank(), options);
    for (const StackWay& way : ways) check_stack_way(c, way, ranks, expected, options);
  }
}

}  // namespace
}  // namespace hashep::test
