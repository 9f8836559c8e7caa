// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <span>
#include <string>

#include "core/setting.hpp"
#include "hashep/error.hpp"
#include "hashep/exchange_plan.hpp"

namespace hashep {

/// A rank's status in a planning exchange, so that all ranks learn what went wrong on one.
enum class PlanningFault : CountWord { none, bad_input, failure };

/// The fault of the lowest rank that has one.
struct FoundFault {
  PlanningFault fault = PlanningFault::none;
  int rank = -1;
};

/// Has `fill` write this rank's words of a planning exchange after their first, which becomes its
/// status. Where it throws, the others become 0, and `text` what it says, unless there is a text
/// already.
template <typename Fill>
void fill_words(std::span<CountWord> words, std::string& text, const Fill& fill) {
  const auto note = [&](PlanningFault fault, const std::exception& error) {
    std::fill(words.begin(), words.end(), 0);
    words.front() = static_cast<CountWord>(fault);
    if (text.empty()) text = marked_text(error);
  };
  words.front() = static_cast<CountWord>(PlanningFault::none);
  try {
    fill(words.subspan(1));
  } catch (const InputError& error) {
    note(PlanningFault::bad_input, error);
  } catch (const std::exception& error) {
    note(PlanningFault::failure, error);
  }
}

/// words: all ranks', the first of each row_stride being a rank's status.
FoundFault find_fault(std::span<const CountWord> words, int64_t row_stride, int ep_size);

/// Throws CollectiveInputError or CollectiveRunError. `text`: of this rank's own fault, or empty.
[[noreturn]] void throw_fault(const FoundFault& found, const std::string& text, bool is_reporter);

}  // namespace hashep
