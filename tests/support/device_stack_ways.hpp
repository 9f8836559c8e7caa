// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "comm/topology.hpp"
#include "tests/support/gpu_stack.hpp"
#include "tests/support/ranks.hpp"

namespace hashep::test {

/// One way to run a stack on the GPUs of all ranks.
struct StackWay {
  std::string transport;    // direct or unpack (nccl), ipc, hier
  int ranks_per_node = 64;  // labels, not machines
  GraphMode graph = GraphMode::on;
  bool overlap = true;

  std::string name() const;
};

/// All transports, in each of their ways, with graphs and without; where GPUs do not reach each
/// other's memory, NCCL's alone.
std::vector<StackWay> stack_ways(bool peers_reach = true);

std::unique_ptr<Transport> make_transport(const StackWay& way, Ranks& ranks,
                                          const Topology& topology);

/// Hidden states after each of some steps of a case. [steps][rows * hidden_size]
using StepResults = std::vector<std::vector<float>>;

/// On one GPU alone, where they agree with the oracle: the part of rank `ep_rank` of `ep_size`.
StepResults results_alone(const StackCase& c, int ep_size, int ep_rank,
                          const CudaExecOptions& options);

/// A stack on all ranks gives the bits of `expected`. The way says how
/// graphs and overlap are to be. Collective.
void check_stack_way(const StackCase& c, const StackWay& way, Ranks& ranks,
                     const StepResults& expected, CudaExecOptions options);

}  // namespace hashep::test
