// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/layer_work.hpp"

namespace hashep {

void run_layer_work(LayerWork& work) {
  const int parts = work.num_parts();
  const bool beside = work.runs_beside_dispatch();
  std::span<const float> weights;
  ConstMatrixView shared;
  if (beside) {
    for (int part = 0; part < parts; ++part) work.dispatch(part);
    weights = work.gate();
    shared = work.shared_experts();
  } else {
    weights = work.gate();
  }
  for (int part = 0; part < parts; ++part) {
    if (!beside) work.dispatch(part);
    work.routed_experts(part);
    work.give_back(part, weights);
  }
  if (!beside) shared = work.shared_experts();  // while outputs of other nodes return
  work.combine(weights, shared);
}

}  // namespace hashep
