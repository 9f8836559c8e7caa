// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep {

/// From now on SIGINT and SIGTERM set the returned flag to the signal's number instead of ending
/// the process; waits and phases look at it. The flag lives as long as the process.
const volatile int* catch_stop_signals();

}  // namespace hashep
