// SPDX-License-Identifier: Apache-2.0
// In builds without CUDA.
#include "benchmarks/device_exchange_bench.hpp"
#include "comm/agreement.hpp"

namespace hashep::bench {

void measure_device_exchange(const ExchangeOptions&, const std::vector<std::string>&,
                             const Communicator& comm, Watch&) {
  throw CollectiveInputError("--device cuda: this build has no CUDA; use cpu", comm.rank() == 0);
}

}  // namespace hashep::bench
