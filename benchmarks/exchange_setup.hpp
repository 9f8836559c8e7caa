// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "benchmarks/bench_device.hpp"
#include "benchmarks/bench_transports.hpp"
#include "benchmarks/exchange_yardsticks.hpp"
#include "benchmarks/rank_job.hpp"
#include "benchmarks/rank_options.hpp"
#include "comm/communicator.hpp"
#include "comm/exchange/transport.hpp"
#include "comm/watch.hpp"

namespace hashep::bench {

/// All that exchanges between ranks of one kind of device are measured with.
class ExchangeSetup {
 public:
  virtual ~ExchangeSetup() = default;
  virtual BenchDevice& device() = 0;
  virtual const BenchTransports& made() const = 0;
  /// What a plain program does, as a transport.
  virtual Transport& packed() = 0;
  /// As the table has them.
  virtual std::vector<ExchangeYardstick*> yardsticks() = 0;
  /// Lines on the device for the head of the table, and what follows the transports' names there.
  virtual std::string device_lines() const { return ""; }
  virtual std::string library_note() const { return ""; }
};

/// Between CPUs: raw MPI_Alltoallv and a local copy by memcpy or non-temporal stores. Throws
/// CollectiveInputError where a transport that is listed is not to be had. References must outlive
/// it. Collective.
std::unique_ptr<ExchangeSetup> make_cpu_exchange_setup(const ExchangeOptions& options, RankJob& job,
                                                       const Communicator& comm, Watch& watch);

/// Between GPUs, one a rank, which becomes the calling thread's current one, with cores near it: a
/// raw group of NCCL's messages, NCCL's own all-to-all and a copy within each GPU's memory. Tells
/// the job which GPUs there are. Throws CollectiveInputError where this build has no CUDA, not each
/// rank can have a GPU, or a named transport is not to be had; RunError where NCCL or a GPU
/// refuses. References must outlive it. Collective.
std::unique_ptr<ExchangeSetup> make_cuda_exchange_setup(const ExchangeOptions& options,
                                                        RankJob& job, const Communicator& comm,
                                                        Watch& watch);

/// One of the two.
using MakeExchangeSetup = std::unique_ptr<ExchangeSetup>(const ExchangeOptions& options,
                                                         RankJob& job, const Communicator& comm,
                                                         Watch& watch);

}  // namespace hashep::bench
