// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "comm/transport/transport.hpp"
#include "tests/support/random_routing.hpp"

namespace hashep::test {

/// What a transport got wrong on this rank, in elements; rows carry their address, so that any
/// misplaced row shows.
struct ExchangeErrors {
  int64_t dispatch = 0;
  int64_t combine = 0;
  int64_t rows_received = 0;
};

/// Sends made-up rows through dispatch and combine of one plan, twice, and checks every element:
/// dispatch against the canonical order (expert, global token index), combine against
/// sum_j w_j * (row * 2 + expert). Collective over the transport's ranks.
ExchangeErrors check_exchange(Transport& transport, const RandomRouting& routing,
                              const ExchangePlan& plan, DType dtype, int64_t hidden_size);

}  // namespace hashep::test
