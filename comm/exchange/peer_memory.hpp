// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/watch.hpp"
#include "core/cuda/device_buffer.hpp"
#include "core/cuda/ipc.hpp"

namespace hashep {

/// A buffer in each rank's GPU memory that all ranks of a node reach, through CUDA IPC.
class PeerMemory {
 public:
  /// `node` and `watch` must outlive this. Nothing is held yet.
  PeerMemory(const Communicator& node, Watch& watch)
      : node_(node), watch_(watch), mapped_(node.size()), bytes_(node.size()) {}
  /// Waits until no rank of the node maps this one's memory any more; not while an error unwinds,
  /// as others may never come to it. Collective. No GPU uses the memory.
  ~PeerMemory();
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;

  /// Makes room for `bytes` on this rank's GPU, in whole pages of it and at least one, and maps
  /// what the others have. After the first time with headroom (grown_bytes), also where a rank had
  /// room enough: whoever grows, the next time is far off for all. No rank's GPU may still use the
  /// old memory. Collective over the node; throws RunError where the GPU has not so much or cannot
  /// be shared.
  void resize(int64_t bytes);

  /// The buffer of the node's rank `node_rank`, as this rank's GPU reaches it.
  std::byte* of(int node_rank) const {
    return node_rank == node_.rank() ? own_.data() : mapped_[node_rank].data();
  }
  const DeviceBuffer& own() const { return own_; }
  /// How much that buffer holds: alike on all ranks.
  int64_t bytes_of(int node_rank) const { return bytes_[node_rank]; }

 private:
  void unmap();

  const Communicator& node_;
  Watch& watch_;
  DeviceBuffer own_;
  std::vector<IpcMapping> mapped_;  // [node ranks]; this rank's: of nothing
  std::vector<int64_t> bytes_;      // [node ranks]
};

/// Whether the GPUs of all ranks of a node reach each other's memory: as CUDA says of GPUs that a
/// rank sees, and as mapping a piece of it shows. The same answer on all ranks. `gpu`: this rank's,
/// its current one. Collective over `node`.
bool peers_reach_each_other(const Communicator& node, Watch& watch, int gpu);

}  // namespace hashep
