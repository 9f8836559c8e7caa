// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace hashep::test {

/// Communicators that this process has made so far and not freed, counted through MPI's profiling
/// interface.
int64_t communicators_held();

/// Communicators made so far.
int64_t communicators_made();

}  // namespace hashep::test
