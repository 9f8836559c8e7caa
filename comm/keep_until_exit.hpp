// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

namespace hashep {

/// Keeps what MPI may still read or write until the process ends: neither a collective nor a
/// message that has begun can be taken back where a rank is missing. Callable from any thread.
void keep_until_exit(std::shared_ptr<void> kept);

}  // namespace hashep
