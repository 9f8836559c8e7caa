// SPDX-License-Identifier: Apache-2.0
#include "comm/thrown_on_all_ranks.hpp"

#include <exception>

namespace hashep {
namespace {

// A destructor cannot ask for the error that unwinds it, but such an error can be counted.
thread_local int alive = 0;

// Of the innermost UnwindsAloneScope; null where there is none.
thread_local const bool* known = nullptr;

/// Whether the error of the catch block that this thread is in, if any, is one of them.
bool handles_one() noexcept {
  try {
    if (const std::exception_ptr handled = std::current_exception())
      std::rethrow_exception(handled);
  } catch (const ThrownOnAllRanks&) {
    return true;
  } catch (...) {
    return false;
  }
  return false;
}

}  // namespace

ThrownOnAllRanks::ThrownOnAllRanks() noexcept {
  ++alive;
}

ThrownOnAllRanks::ThrownOnAllRanks(const ThrownOnAllRanks&) noexcept {
  ++alive;
}

ThrownOnAllRanks::~ThrownOnAllRanks() {
  --alive;
}

bool unwinds_alone() noexcept {
  if (known != nullptr) return *known;
  if (std::uncaught_exceptions() == 0) return false;
  // One that has been caught is no reason for what unwinds now.
  return alive - (handles_one() ? 1 : 0) == 0;
}

UnwindsAloneScope::UnwindsAloneScope(bool alone) noexcept : outer_(known), alone_(alone) {
  known = &alone_;
}

UnwindsAloneScope::~UnwindsAloneScope() {
  known = outer_;
}

}  // namespace hashep
