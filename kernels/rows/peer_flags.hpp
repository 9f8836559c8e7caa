// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/device_stream.hpp"

namespace hashep {

/// What GPUs tell the host of flags they wait for. In pinned host memory, all zero but the -1s at
/// first.
struct PeerWaitStatus {
  int32_t stop = 0;      // set by the host: waits under way and later ones end at once
  int32_t gave_up = 0;   // set by the GPU: a wait took longer than it may; stop is set then too
  int32_t peer = -1;     // of that wait: who had not set the flag,
  int32_t mark = -1;     // which one,
  int64_t exchange = 0;  // and up to which exchange
};

/// One rank's view of the flags that the ranks of a node set in each other's GPU memory. Word
/// [mark, peer] of a rank's flags is written by `peer` alone: the number of the exchange up to
/// which the mark holds there. All pointers are to memory that this rank's GPU reaches; flags and
/// number are 0 at first.
struct PeerFlags {
  int num_peers = 1;  // ranks of the node, this one among them
  int rank = 0;       // this one's place among them
  int num_marks = 0;
  int64_t* own = nullptr;           // [num_marks, num_peers]: what the peers tell this rank
  int64_t* const* peers = nullptr;  // [num_peers]: each rank's flags, as they are mapped here
  int64_t* exchange = nullptr;      // number of the exchange under way; only these kernels touch it
  PeerWaitStatus* status = nullptr;
  int64_t deadline_ns = 0;  // that one wait may take
};

/// What one kernel does, in this order; kNone: not that.
struct FlagStep {
  static constexpr int kNone = -1;

  bool begins = false;  // a new exchange: its number is one more than the last one's
  int signal = kNone;   // tells all peers that this mark holds up to the exchange under way: what
                        // this stream's earlier work wrote, in peers' memory too, is seen by who
                        // waits for it (release at system scope)
  int wait = kNone;     // until this mark holds on all peers (acquire at system scope)
  int64_t lag = 0;      // up to so many exchanges before the one under way
};

/// Of PeerFlags::exchange once a wait has not come to its end: from then on nothing is signalled,
/// as what was written after it may be wrong, and no wait waits. It stays so.
inline constexpr int64_t kExchangesStopped = -1;

/// Sets and awaits flags, in stream order. The numbers are kept in GPU memory, so that a captured
/// step can be replayed. A kernel that waits keeps its place on the GPU, and all that is asked for
/// later, on any stream, may stand behind it: what the peer's signal needs here must have been
/// asked for before it. Throws RunError where the arguments do not fit each
/// other or the launch fails.
void step_flags(const PeerFlags& flags, const FlagStep& step, DeviceStream stream);

}  // namespace hashep
