// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep::bench {

/// When the plans of a batch are made.
enum class PlanWhen {
  ahead,     // as a run does: one exchange for all layers, while the batch before computes
  in_layer,  // "inline": in each layer, as a router must that is known at run time only
  at_hand,   // before the clock starts: a step without any planning, to tell the cost of the others
};

/// "ahead", "inline", "at_hand".
constexpr const char* plan_when_name(PlanWhen when) {
  switch (when) {
    case PlanWhen::ahead:
      return "ahead";
    case PlanWhen::in_layer:
      return "inline";
    case PlanWhen::at_hand:
      return "at_hand";
  }
  return "";
}

}  // namespace hashep::bench
