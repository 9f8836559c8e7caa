// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/device_bench_setup.hpp"

#include <optional>
#include <sstream>

#include "comm/agreement.hpp"
#include "comm/nccl_communicator.hpp"
#include "launch/binding_report.hpp"
#include "launch/process/option_text.hpp"
#include "runtime/layer/backend_factory.hpp"

namespace hashep::bench {

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

std::string gpu_head(const BenchGpu& gpu) {
  std::istringstream lines(binding_lines(gpu.bindings));
  std::string text = "# " + gpu.info.description + "\n";
  for (std::string line; std::getline(lines, line);) text += "# " + line + "\n";
  return text;
}

DeviceTransports make_device_transports(const ExchangeOptions& options, int gpu,
                                        const Communicator& comm, const Topology& topology,
                                        Watch& watch) {
  const bool all = options.transports.empty();
  std::vector<TransportKind> wanted = options.transports;
  if (all) {
    wanted = {TransportKind::ipc, TransportKind::nccl, TransportKind::hier};
    if (comm.size() == 1) wanted.insert(wanted.begin(), TransportKind::automatic);  // that is local
  }
  DeviceTransports made;
  for (const TransportKind kind : wanted) {
    const GpuRunOptions run{.gpu = gpu,
                            .transport = kind,
                            .share_gpu = options.gpu.share_gpu,
                            .landing = options.gpu.landing,
                            .overlap = options.gpu.overlap};
    try {
      made.transports.push_back(make_device_transport(run, comm, topology, watch));
    } catch (const InputError& error) {  // on all ranks alike
      if (!all) throw;
      made.left_out.push_back(option_text(error));
    }
  }
  return made;
}

}  // namespace hashep::bench
