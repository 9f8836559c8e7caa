// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "hashep/exchange_plan.hpp"
#include "hashep/tensor_view.hpp"
#include "hashep/weight_source.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep::bench {

/// What each choice of layer 0 counts for in the combine, for peers that are to compute the same:
/// [tokens, top_k]; 1/k each where nothing scores them. x: [tokens, hidden_size]. Local.
std::vector<float> choice_weights(const ModelConfig& config, const WeightSource& weights,
                                  const ExchangePlan& plan, ConstMatrixView x);

}  // namespace hashep::bench
