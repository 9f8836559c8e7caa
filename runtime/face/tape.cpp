// SPDX-License-Identifier: Apache-2.0
#include "runtime/face/tape_impl.hpp"

namespace hashep {

Tape::Tape() : impl_(std::make_unique<Impl>()) {}
Tape::~Tape() = default;
Tape::Tape(Tape&& other) noexcept = default;
Tape& Tape::operator=(Tape&& other) noexcept = default;

int64_t Tape::bytes() const {
  return impl_->bytes();
}

}  // namespace hashep
