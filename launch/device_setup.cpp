// SPDX-License-Identifier: Apache-2.0
#include "launch/device_setup.hpp"

#include <algorithm>
#include <optional>

#include "comm/agreement.hpp"
#include "launch/binding_report.hpp"
#include "launch/process/option_text.hpp"

namespace hashep {
namespace {

/// With auto, some ranks may see a GPU and others none: then none uses one. Collective.
DeviceChoice agree_on_device(const RunOptions& options, const Communicator& comm, Watch& watch) {
  DeviceChoice choice;
  agree(comm, watch, [&] { choice = resolve_device(options.device); });
  const bool has_gpu = choice.device == Device::cuda;
  const std::vector<int64_t> with_gpu = gather_word(comm, watch, has_gpu ? 1 : 0);
  const auto without = std::find(with_gpu.begin(), with_gpu.end(), 0);
  if (has_gpu && without != with_gpu.end()) {
    choice = {.device = Device::cpu,
              .why_cpu = "rank " + std::to_string(without - with_gpu.begin()) + " has no GPU"};
  }
  return choice;
}

}  // namespace

DeviceSetup set_up_device(const RunOptions& options, const Communicator& comm,
                          const Topology& topology, Watch& watch) {
  DeviceSetup setup;
  setup.choice = agree_on_device(options, comm, watch);
  if (setup.choice.device != Device::cuda) return setup;
  std::vector<VisibleGpu> gpus;
  std::optional<MachineTopology> machine;
  agree(comm, watch, [&] {
    gpus = visible_gpus();
    machine = MachineTopology::of_this_machine();
  });
  try {
    const GpuBinding own = bind_gpu(comm, topology, watch, gpus, *machine,
                                    {.share_gpu = options.share_gpu, .bind_cpu = options.bind_cpu});
    setup.gpu = own.gpu;
    setup.bindings = gather_bindings(comm, watch, own);
  } catch (const CollectiveInputError& error) {
    if (options.device != Device::automatic) throw;
    setup.choice = {.device = Device::cpu, .why_cpu = option_text(error)};
  }
  return setup;
}

}  // namespace hashep
