// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/planning_fault.hpp"

#include "comm/agreement.hpp"

namespace hashep {

FoundFault find_fault(std::span<const CountWord> words, int64_t row_stride, int ep_size) {
  for (int rank = 0; rank < ep_size; ++rank) {
    const auto fault = static_cast<PlanningFault>(words[rank * row_stride]);
    if (fault != PlanningFault::none) return {fault, rank};
  }
  return {};
}

void throw_fault(const FoundFault& found, const std::string& text, bool is_reporter) {
  const std::string said = text.empty() ? "rank " + std::to_string(found.rank) +
                                              " could not give its tokens their experts"
                                        : text;
  if (found.fault == PlanningFault::bad_input) throw CollectiveInputError(said, is_reporter);
  throw CollectiveRunError(said, is_reporter);
}

}  // namespace hashep
