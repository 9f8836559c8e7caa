// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "benchmarks/model/predict_job.hpp"

namespace hashep::bench {

/// What `hashep-bench fit` is asked for.
struct FitOptions {
  std::vector<std::string> results;  // files of exchange, layer, experts
  std::string base;                  // a profile's file
  std::string output;                // the fitted profile's
  int64_t holdout = 3;               // every so many sizes of a sweep are held out
};

/// What `hashep-bench check-model` is asked for.
struct CheckOptions {
  std::string machine;
  std::vector<std::string> results;  // of exchange, layer, or simulated
  std::string published;             // a file of published figures
  int64_t holdout = 3;               // as the profile was fitted with
};

/// Each prints a table and returns the rows of a result. Local. They throw InputError; `fit` writes
/// its profile whole or not at all.
nlohmann::ordered_json run_fit(const FitOptions& options);
nlohmann::ordered_json run_check(const CheckOptions& options);
nlohmann::ordered_json run_predict(const PredictOptions& options);

}  // namespace hashep::bench
