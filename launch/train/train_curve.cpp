// SPDX-License-Identifier: Apache-2.0
#include "launch/train/train_curve.hpp"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "hashep/error.hpp"
#include "launch/process/option_table.hpp"

namespace hashep {
namespace {

std::string text_of(const std::optional<double>& value) {
  return value ? exact_text(*value) : "";
}

/// A loss may have left the numbers that JSON has.
nlohmann::ordered_json number_of(double value) {
  if (std::isfinite(value)) return value;
  return exact_text(value);
}

double value_of(const nlohmann::json& number) {
  return number.is_string() ? std::stod(number.get<std::string>()) : number.get<double>();
}

}  // namespace

std::string curve_csv(const std::vector<TrainPoint>& curve) {
  std::string text =
      "step,loss,learning_rate,gradient_norm,held_out_loss,held_out_perplexity,balance\n";
  for (const TrainPoint& point : curve) {
    text += std::to_string(point.step) + "," + exact_text(point.loss) + "," +
            exact_text(point.learning_rate) + "," + exact_text(point.gradient_norm) + "," +
            text_of(point.held_out_loss) + "," +
            (point.held_out_loss ? exact_text(std::exp(*point.held_out_loss)) : "") + "," +
            text_of(point.balance) + "\n";
  }
  return text;
}

nlohmann::ordered_json curve_json(const std::vector<TrainPoint>& curve) {
  nlohmann::ordered_json json;
  for (const char* name :
       {"step", "loss", "learning_rate", "gradient_norm", "held_out_loss", "balance"}) {
    json[name] = nlohmann::ordered_json::array();
  }
  const auto optional = [](const std::optional<double>& value) -> nlohmann::ordered_json {
    return value ? number_of(*value) : nlohmann::ordered_json(nullptr);
  };
  for (const TrainPoint& point : curve) {
    json["step"].push_back(point.step);
    json["loss"].push_back(number_of(point.loss));
    json["learning_rate"].push_back(number_of(point.learning_rate));
    json["gradient_norm"].push_back(number_of(point.gradient_norm));
    json["held_out_loss"].push_back(optional(point.held_out_loss));
    json["balance"].push_back(optional(point.balance));
  }
  return json;
}

std::vector<TrainPoint> parse_curve(const nlohmann::json& json, const std::string& source) {
  try {
    std::vector<TrainPoint> curve;
    const auto optional = [](const nlohmann::json& value) {
      return value.is_null() ? std::nullopt : std::optional(value_of(value));
    };
    for (size_t i = 0; i < json.at("step").size(); ++i) {
      curve.push_back({.step = json.at("step").at(i).get<int64_t>(),
                       .loss = value_of(json.at("loss").at(i)),
                       .learning_rate = value_of(json.at("learning_rate").at(i)),
                       .gradient_norm = value_of(json.at("gradient_norm").at(i)),
                       .held_out_loss = optional(json.at("held_out_loss").at(i)),
                       .balance = optional(json.at("balance").at(i))});
    }
    return curve;
  } catch (const std::exception&) {
    throw InputError(source + ": its curve is not one that hashep train wrote");
  }
}

}  // namespace hashep
