// SPDX-License-Identifier: Apache-2.0
// In builds without CUDA.
#include "benchmarks/exchange_setup.hpp"
#include "comm/agreement.hpp"

namespace hashep::bench {

std::unique_ptr<ExchangeSetup> make_cuda_exchange_setup(const ExchangeOptions&, RankJob&,
                                                        const Communicator& comm, Watch&) {
  throw CollectiveInputError("--device cuda: this build has no CUDA; use cpu", comm.rank() == 0);
}

}  // namespace hashep::bench
