// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "comm/communicator.hpp"
#include "comm/watch.hpp"
#include "core/atomic_file.hpp"
#include "runtime/layer/phase_log.hpp"

namespace hashep {

/// Writes the events of all ranks as a Chrome trace, one row (thread) per rank, through rank 0.
/// `file` is used on rank 0 alone, and committed there. Collective. Format: "Trace Event Format",
/// complete events (ph X), times in microseconds.
void write_chrome_trace(const Communicator& comm, Watch& watch, const PhaseLog& log,
                        AtomicFile* file);

}  // namespace hashep
