// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace hashep {

/// Called before memory that was held is freed: freeing waits for the GPU, which has no deadline.
/// Where what the GPU was asked for may never end, this waits under one, or throws. May be empty.
using BeforeFree = std::function<void()>;

}  // namespace hashep
