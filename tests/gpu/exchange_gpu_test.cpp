// SPDX-License-Identifier: Apache-2.0
// Exchanges between real GPUs, one a rank or shared, under mpirun: every row in its place, the bits
// of the exchange between CPUs, and stacks that give the bits of one GPU alone.
#include "tests/support/catch.hpp"
#include "tests/support/device_stack_ways.hpp"
#include "tests/support/device_ways.hpp"

namespace hashep::test {
namespace {

TEST_CASE("every exchange between GPUs puts every row in its place") {
  Ranks ranks;
  for (const DeviceWay& way : device_ways()) {
    for (const bool graph : {false, true}) {
      INFO(way.name << (graph ? ", graph" : ""));
      check_rows_in_place(ranks, way, graph);
    }
  }
}

TEST_CASE("exchanges between GPUs give the bits of those between CPUs") {
  Ranks ranks;
  std::mt19937 random(23);
  for (const DeviceWay& way : device_ways()) {
    INFO(way.name);
    check_bits_of_cpus(ranks, way, random);
  }
}

TEST_CASE("stacks on several GPUs give the bits of one") {
  Ranks ranks;
  StackCase c = full_case();
  c.config.hidden_size = 64;  // rows of 16-byte words; other sizes are the kernels' tests
  c.config.ffn_size = 96;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    c.dtype = dtype;
    CudaExecOptions options = gpu_options(c);
    options.workspace_bytes = int64_t{32} << 20;  // as much as cuBLAS likes
    const auto expected = results_alone(c, ranks.comm.size(), ranks.comm.rank(), options);
    for (const StackWay& way : stack_ways()) check_stack_way(c, way, ranks, expected, options);
  }
}

}  // namespace
}  // namespace hashep::test
