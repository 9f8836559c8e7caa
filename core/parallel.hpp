// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

namespace hashep {

/// Calls body(i) once for each i in [0, count), on up to `threads` threads (0: one for each core
/// that was granted), in no given order; returns when all are done. The first exception of a body
/// leaves it.
void parallel_for(int threads, int64_t count, const std::function<void(int64_t)>& body);

}  // namespace hashep
