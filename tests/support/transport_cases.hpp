// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "hashep/node_map.hpp"
#include "tests/support/exchange_driver.hpp"
#include "tests/support/random_routing.hpp"
#include "tests/support/ranks.hpp"

namespace hashep::test {

/// What moved in check_random_exchanges on this rank.
struct Moved {
  int64_t rows = 0;
  int64_t rows_off_rank = 0;
  int64_t rows_off_node = 0;  // sent
  int64_t routes_off_node = 0;
};

/// Which plans check_random_exchanges makes.
struct RandomExchanges {
  const NodeMap* nodes = nullptr;  // where given, plans have their part between nodes
  bool reduces = false;            // that part sums
  int rounds = 60;
};

/// Sends made-up rows through many plans of all kinds (uneven tokens and experts, ranks without
/// any, padding, one expert taking all; fp32 and bf16; odd and even rows) and CHECKs every element.
/// Where nodes reduce, all is fp32, in which the made-up rows sum exactly in any order. Collective.
Moved check_random_exchanges(Ranks& ranks, ExchangeDriver& driver, const RandomExchanges& of = {});

/// The same on CPUs.
inline Moved check_random_exchanges(Ranks& ranks, Transport& transport,
                                    const RandomExchanges& of = {}) {
  HostDriver driver(transport);
  return check_random_exchanges(ranks, driver, of);
}

/// One exchange to which the last rank comes after the others have given up, on a transport that
/// waits under a deadline of 1 s: CHECKs that those that report name it. `transport` and
/// `plan` must stay until MPI has ended, as the wait that is given up leaves them in use.
/// Collective.
void check_late_rank_is_named(const Communicator& comm, Transport& transport,
                              const RandomRouting& routing, const ExchangePlan& plan);

}  // namespace hashep::test
