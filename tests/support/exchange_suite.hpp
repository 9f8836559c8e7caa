// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "comm/topology.hpp"
#include "tests/support/exchange_driver.hpp"
#include "tests/support/random_routing.hpp"
#include "tests/support/ranks.hpp"

namespace hashep::test {

// One suite for all transports, of CPUs and of GPUs.

/// A transport, how it is driven, and on which nodes.
struct ExchangeWay {
  std::string name;
  std::function<std::unique_ptr<ExchangeDriver>(Ranks&, const Topology&)> make;
  /// The node of a rank, where all run on one machine; empty: one node for all.
  std::function<int(int rank)> label = {};
  bool reduces = false;  // results of a node return summed

  /// The nodes that the labels make up; those of a real cluster where there is one.
  Topology topology(Ranks& ranks) const;
};

/// What moved on this rank.
struct Moved {
  int64_t rows = 0;
  int64_t rows_off_rank = 0;
  int64_t rows_off_node = 0;  // sent
  int64_t routes_off_node = 0;
};

/// Sends made-up rows through many plans of all kinds (uneven tokens and experts, ranks without
/// any, padding, one expert taking all; fp32 and bf16; odd and even rows) and CHECKs every element.
/// Where nodes reduce, all is fp32, in which the made-up rows sum exactly in any order. Collective.
Moved check_rows_in_place(Ranks& ranks, const ExchangeWay& way, int rounds = 60);

/// Random values with random weights, whose sums depend on their order: CHECKs that they come out
/// with the bits of transport mpi. Collective; `random` is alike on all ranks.
void check_bits(Ranks& ranks, const ExchangeWay& way, std::mt19937& random);

/// One exchange to which the last rank comes after the others have given up, on a transport that
/// waits under a deadline of 1 s: CHECKs that those that report name it. `transport` and
/// `plan` must stay until MPI has ended, as the wait that is given up leaves them in use.
/// Collective.
void check_late_rank_is_named(const Communicator& comm, Transport& transport,
                              const RandomRouting& routing, const ExchangePlan& plan);

}  // namespace hashep::test
