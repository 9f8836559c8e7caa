// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <sstream>

#include "benchmarks/bench_device_cuda.hpp"
#include "benchmarks/exchange_baseline_cuda.hpp"
#include "benchmarks/exchange_setup.hpp"
#include "comm/agreement.hpp"
#include "comm/nccl_communicator.hpp"
#include "core/cuda/device.hpp"
#include "launch/binding_report.hpp"
#include "launch/gpu_binding.hpp"
#include "runtime/layer/backend_factory.hpp"

namespace hashep::bench {
namespace {

/// The GPU of this rank, and on rank 0 those of all.
struct BenchGpu {
  int index = 0;
  GpuInfo info;
  std::vector<GpuBinding> bindings;
};

BenchGpu set_up_gpu(const GpuExchangeOptions& options, const Communicator& comm,
                    const Topology& topology, Watch& watch) {
  std::vector<VisibleGpu> gpus;
  std::optional<MachineTopology> machine;
  agree(comm, watch, [&] {
    resolve_device(Device::cuda);
    gpus = visible_gpus();
    machine = MachineTopology::of_this_machine();
  });
  const GpuBinding own = bind_gpu(comm, topology, watch, gpus, *machine,
                                  {.share_gpu = options.share_gpu, .bind_cpu = options.bind_cpu});
  if (options.share_gpu) separate_nccl_hosts(comm.rank());  // the yardsticks are NCCL's always
  return {
      .index = own.gpu, .info = use_gpu(own.gpu), .bindings = gather_bindings(comm, watch, own)};
}

BenchTransports make_gpu_transports(const ExchangeOptions& options, int gpu,
                                    const Communicator& comm, const Topology& topology,
                                    Watch& watch) {
  std::vector<TransportKind> known = {TransportKind::ipc, TransportKind::nccl, TransportKind::hier};
  if (comm.size() == 1) known.insert(known.begin(), TransportKind::automatic);  // that is local
  return make_transports(options.transports, known, comm, [&](TransportKind kind) {
    const GpuRunOptions run{.gpu = gpu,
                            .transport = kind,
                            .share_gpu = options.gpu.share_gpu,
                            .landing = options.gpu.landing,
                            .overlap = options.gpu.overlap};
    return make_device_transport(run, comm, topology, watch);
  });
}

/// Half of the rows that dispatch reads and writes, the tokens' rows and the rows sent: so a copy
/// of them reads and writes as much.
int64_t half_of_dispatch(const ExchangePlan& plan) {
  return (plan.tokens + plan.total_send() + 1) / 2;
}

class CudaExchangeSetup final : public ExchangeSetup {
 public:
  CudaExchangeSetup(const ExchangeOptions& options, RankJob& job, const Communicator& comm,
                    Watch& watch)
      : gpu_(set_up_gpu(options.gpu, comm, job.topology(), watch)),
        made_(make_gpu_transports(options, gpu_.index, comm, job.topology(), watch)),
        nccl_(comm, watch),
        packed_(nccl_),
        device_(watch, gpu_.info.l2_bytes) {
    job.set_gpus(gpu_.info.description, binding_json(gpu_.bindings));
  }

  BenchDevice& device() override { return device_; }
  const BenchTransports& made() const override { return made_; }
  Transport& packed() override { return packed_; }
  std::vector<ExchangeYardstick*> yardsticks() override { return {&raw_, &equal_, &copy_}; }

  std::string device_lines() const override {
    std::istringstream lines(binding_lines(gpu_.bindings));
    std::string text = "# " + gpu_.info.description + "\n";
    for (std::string line; std::getline(lines, line);) text += "# " + line + "\n";
    return text;
  }
  std::string library_note() const override { return ", " + nccl_version(); }

 private:
  BenchGpu gpu_;
  BenchTransports made_;
  NcclCommunicator nccl_;  // of the yardsticks
  PackedNccl packed_;
  CudaBenchDevice device_;
  NcclMessages messages_{nccl_, device_.stream()};
  NcclAllToAll all_to_all_{nccl_, device_.stream()};
  RawExchange raw_{"alltoallv", RawExchange::Rows::of_plan, messages_, device_};
  RawExchange equal_{"nccl_alltoall", RawExchange::Rows::equal, all_to_all_, device_};
  CopyRows rows_{device_};
  LocalCopy copy_{"",
                  [this](std::byte* to, const std::byte* from, int64_t bytes) {
                    copy_async(to, from, bytes, device_.stream());
                  },
                  half_of_dispatch, rows_};
};

}  // namespace

std::unique_ptr<ExchangeSetup> make_cuda_exchange_setup(const ExchangeOptions& options,
                                                        RankJob& job, const Communicator& comm,
                                                        Watch& watch) {
  return std::make_unique<CudaExchangeSetup>(options, job, comm, watch);
}

}  // namespace hashep::bench
