// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "tests/support/exchange_driver.hpp"
#include "tests/support/random_routing.hpp"

namespace hashep::test {

/// What is sent for a token of a rank: its address, a digit to a column, rank first, which repeats
/// shifted from 4 columns to the next. So all rows are distinct from 4 columns on (64 ranks, 2^18
/// tokens each), and columns show too. Whole numbers below 64: bf16 holds what is made of them.
float address_element(int rank, int64_t token, int64_t column);

/// What a transport got wrong on this rank, in elements; rows carry their address, so that any
/// misplaced row shows.
struct ExchangeErrors {
  int64_t dispatch = 0;
  int64_t early = 0;  // not there when their part had landed, on CPUs
  int64_t combine = 0;
  int64_t rows_received = 0;
};

/// Sends made-up rows through dispatch and combine of one plan, twice, and checks every element:
/// dispatch against the canonical order (expert, global token index), and each part of it
/// when it has landed, combine against
/// sum_j w_j * (row * 2 + expert). Collective over the transport's ranks.
ExchangeErrors check_exchange(ExchangeDriver& driver, const RandomRouting& routing,
                              const ExchangePlan& plan, DType dtype, int64_t hidden_size);

/// The same on a CPU.
inline ExchangeErrors check_exchange(Transport& transport, const RandomRouting& routing,
                                     const ExchangePlan& plan, DType dtype, int64_t hidden_size) {
  HostDriver driver(transport);
  return check_exchange(driver, routing, plan, dtype, hidden_size);
}

}  // namespace hashep::test
