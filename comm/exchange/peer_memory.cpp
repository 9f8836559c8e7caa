// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/peer_memory.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "comm/agreement.hpp"
#include "core/cuda/device.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

/// One value of each rank on all ranks, in rank order.
template <typename T>
std::vector<T> all_gather(const Communicator& comm, Watch& watch, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  struct Memory {
    T mine;
    std::vector<T> all;
  };
  const auto memory = std::make_shared<Memory>(Memory{value, std::vector<T>(comm.size())});
  const int bytes = static_cast<int>(sizeof(T));
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Iallgather(&memory->mine, bytes, MPI_BYTE, memory->all.data(), bytes, MPI_BYTE,
                           comm.get(), &request),
            "MPI_Iallgather");
  watch.count_collective();
  watch.wait(request, memory);
  return std::move(memory->all);
}

/// What a rank tells of its memory.
struct Offer {
  IpcHandle handle;
  int64_t bytes = 0;
};

/// A PCI id, padded with zero bytes.
using PciId = std::array<char, 32>;

PciId pci_id(int gpu) {
  const std::string text = pci_bus_id(gpu);
  PciId id{};
  std::copy_n(text.begin(), std::min(text.size(), id.size()), id.begin());
  return id;
}

/// Whether a word holds on all ranks.
bool on_all(const Communicator& comm, Watch& watch, bool holds) {
  const auto answers = gather_word(comm, watch, holds ? 1 : 0);
  return std::all_of(answers.begin(), answers.end(), [](int64_t answer) { return answer == 1; });
}

bool gpus_are_peers(const Communicator& node, Watch& watch, int gpu) {
  const int visible = find_gpus().count;
  bool reaches = true;
  for (const PciId& id : all_gather(node, watch, pci_id(gpu))) {
    for (int other = 0; other < visible; ++other) {
      if (other != gpu && pci_id(other) == id) reaches = reaches && can_access_peer(gpu, other);
    }
  }
  return on_all(node, watch, reaches);
}

/// Tries it: containers and control groups may forbid what the GPUs can do.
bool memory_can_be_mapped(const Communicator& node, Watch& watch) {
  const DeviceBuffer own(kGpuPageBytes);
  bool works = true;
  const auto attempt = [&works](const auto& work) {
    try {
      work();
    } catch (const IpcRefused&) {
      works = false;
    }
  };
  IpcHandle handle;
  attempt([&] { handle = export_memory(own); });
  const std::vector<IpcHandle> handles = all_gather(node, watch, handle);
  if (!on_all(node, watch, works)) return false;
  std::vector<IpcMapping> mapped;
  attempt([&] {
    for (int rank = 0; rank < node.size(); ++rank) {
      if (rank != node.rank()) mapped.emplace_back(handles[rank]);
    }
  });
  const bool works_everywhere = on_all(node, watch, works);
  mapped.clear();
  watch.barrier(node);  // then the memory may go
  return works_everywhere;
}

}  // namespace

PeerMemory::~PeerMemory() {
  // While an error unwinds, a rank on which making this failed never comes to the barrier, though
  // all may have met the error. Mappings and memory go all the same.
  if (std::uncaught_exceptions() > 0 || !mpi_is_up()) return;
  try {
    unmap();
  } catch (const std::exception&) {
    // A rank is missing, which whoever waits for it next will say.
  }
}

void PeerMemory::unmap() {
  for (IpcMapping& mapping : mapped_) mapping = IpcMapping();
  watch_.barrier(node_);  // memory that is mapped somewhere must not go
}

void PeerMemory::resize(int64_t bytes) {
  unmap();
  if (own_.capacity() == 0) {
    own_.reserve(std::max(whole_gpu_pages(bytes), kGpuPageBytes));
  } else {
    own_.grow(bytes);
  }
  const Offer own{export_memory(own_), own_.capacity()};
  const std::vector<Offer> offers = all_gather(node_, watch_, own);
  for (int rank = 0; rank < node_.size(); ++rank) {
    const auto at = static_cast<size_t>(rank);
    bytes_[at] = offers[at].bytes;
    if (rank != node_.rank()) mapped_[at] = IpcMapping(offers[at].handle);
  }
}

bool peers_reach_each_other(const Communicator& node, Watch& watch, int gpu) {
  return gpus_are_peers(node, watch, gpu) && memory_can_be_mapped(node, watch);
}

}  // namespace hashep
