// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace hashep {

/// What a step of training has come to.
struct TrainPoint {
  int64_t step = 0;   // from 1
  double loss = 0.0;  // the mean over the batch's tokens, before the step, in nats
  double learning_rate = 0.0;
  double gradient_norm = 0.0;
  std::optional<double> held_out_loss = {};  // after the step, where it was measured
  std::optional<double> balance = {};        // GateLosses::balance over layers, the same
};

/// All of them as CSV: a line of titles, then one a step, every number with all its digits.
std::string curve_csv(const std::vector<TrainPoint>& curve);
/// By columns; a number that there is not is null.
nlohmann::ordered_json curve_json(const std::vector<TrainPoint>& curve);
/// The way back. Throws InputError, naming `source`, where it is no curve.
std::vector<TrainPoint> parse_curve(const nlohmann::json& json, const std::string& source);

}  // namespace hashep
