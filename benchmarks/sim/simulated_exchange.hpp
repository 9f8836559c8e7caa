// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "benchmarks/sim/simulated_rank.hpp"
#include "hashep/exchange_plan.hpp"

namespace hashep::bench {

/// The messages, copies and waits of one exchange, as its plan says and a transport makes them: in
/// time, without rows. In parts, as Exchange.
class SimulatedExchange {
 public:
  virtual ~SimulatedExchange() = default;
  virtual int num_parts() const { return 1; }
  virtual void dispatch(int part) = 0;
  virtual void give_back(int part) = 0;
  virtual void combine() = 0;
};

/// Flat, as MpiTransport: pack, a message to each rank that gets rows, unpack. References must
/// outlive it; so below.
std::unique_ptr<SimulatedExchange> make_flat_exchange(SimulatedRank& rank, const ExchangePlan& plan,
                                                      int64_t row_bytes);

/// Hierarchical, as HierTransport: each row once to each node, and rows of the own node apart.
std::unique_ptr<SimulatedExchange> make_hier_exchange(SimulatedRank& rank, const ExchangePlan& plan,
                                                      int64_t row_bytes);

}  // namespace hashep::bench
