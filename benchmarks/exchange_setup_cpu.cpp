// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/bench_device_cpu.hpp"
#include "benchmarks/exchange_baseline_cpu.hpp"
#include "benchmarks/exchange_setup.hpp"

namespace hashep::bench {
namespace {

class CpuExchangeSetup final : public ExchangeSetup {
 public:
  CpuExchangeSetup(const ExchangeOptions& options, const RankJob& job, const Communicator& comm,
                   Watch& watch)
      : threads_(static_cast<int>(options.common.threads)),
        made_(make_transports(options.transports, comm, job.topology(), watch, threads_)),
        packed_(comm, threads_),
        messages_(comm) {}

  BenchDevice& device() override { return device_; }
  const BenchTransports& made() const override { return made_; }
  Transport& packed() override { return packed_; }
  std::vector<ExchangeYardstick*> yardsticks() override { return {&raw_, &plain_, &streaming_}; }

 private:
  int threads_;
  CpuBenchDevice device_;
  BenchTransports made_;
  PackedAlltoallv packed_;
  AlltoallvMessages messages_;
  RawExchange raw_{"alltoallv", RawExchange::Rows::of_plan, messages_, device_};
  CopyRows rows_{device_};
  LocalCopy plain_ = plain_copy(rows_, threads_);
  LocalCopy streaming_ = streaming_copy(rows_, threads_);
};

}  // namespace

std::unique_ptr<ExchangeSetup> make_cpu_exchange_setup(const ExchangeOptions& options, RankJob& job,
                                                       const Communicator& comm, Watch& watch) {
  return std::make_unique<CpuExchangeSetup>(options, job, comm, watch);
}

}  // namespace hashep::bench
