// SPDX-License-Identifier: Apache-2.0
// The main of tests on the GPUs of several ranks: ranks of a node take its GPUs in turn, and share
// them where there are fewer. Skipped, in words, where a rank sees no GPU.
#include <algorithm>
#include <cstdio>
#include <exception>

#include "comm/agreement.hpp"
#include "comm/nccl_communicator.hpp"
#include "comm/topology.hpp"
#include "core/cuda/device.hpp"
#include "tests/support/ranks.hpp"
#include "tests/support/run_on_ranks.hpp"

namespace hashep::test {
namespace {

constexpr int kSkipped = 77;

/// Each rank takes its GPU; false where one has none.
bool take_gpus() {
  Ranks ranks(kGpuDeadline);
  const GpuSearch search = find_gpus();
  int64_t fewest = search.count;
  for (const int64_t count : gather_word(ranks.comm, ranks.watch, search.count)) {
    fewest = std::min(fewest, count);
  }
  if (fewest == 0) {
    if (ranks.comm.rank() == 0) std::printf("skipped: no GPU: %s\n", search.why_none.c_str());
    return false;
  }
  const Topology topology = find_topology(ranks.comm, ranks.watch);
  if (topology.node.size() > search.count) separate_nccl_hosts(ranks.comm.rank());
  const GpuInfo gpu = use_gpu(topology.node.rank() % search.count);
  if (ranks.comm.rank() == 0) {
    std::printf("%d ranks, %d GPUs here, rank 0 on %s\n", ranks.comm.size(), search.count,
                gpu.description.c_str());
  }
  return true;
}

}  // namespace
}  // namespace hashep::test

int main(int argc, char** argv) {
  try {
    const hashep::MpiSession mpi(&argc, &argv);
    if (!hashep::test::take_gpus()) return hashep::test::kSkipped;
    return hashep::test::run_on_ranks(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
