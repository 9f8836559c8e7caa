// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hashep/training.hpp"
#include "runtime/layer/tape.hpp"

namespace hashep {

/// What a Tape holds.
class Tape::Impl : public StackTape {};

}  // namespace hashep
