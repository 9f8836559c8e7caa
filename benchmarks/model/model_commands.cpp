// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/model_commands.hpp"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "benchmarks/model/fit_profile.hpp"
#include "benchmarks/model/json_fields.hpp"
#include "benchmarks/model/published.hpp"
#include "core/granted_cores.hpp"
#include "core/strict_json.hpp"
#include "hashep/error.hpp"
#include "launch/process/result_json.hpp"

namespace hashep::bench {
namespace {

Measurements read_results(const std::vector<std::string>& files, const MachineProfile& profile,
                          int64_t holdout) {
  Measurements measurements;
  for (const std::string& file : files) {
    add_measurements(read_json_object(file), file, profile.ranks_per_node, holdout, measurements);
  }
  for (const auto& [name, count] : measurements.skipped) {
    std::printf("# not predicted: %d rows of %s\n", count, name.c_str());
  }
  return measurements;
}

void print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
}

}  // namespace

nlohmann::ordered_json run_fit(const FitOptions& options) {
  const MachineProfile base = load_profile(options.base);
  const Measurements measurements = read_results(options.results, base, options.holdout);
  JobCache jobs;
  const FittedProfile fitted = fit_profile(base, measurements, jobs);
  print(error_table(fitted.errors));
  if (!options.output.empty()) write_result(options.output, profile_json(fitted.profile));
  return error_rows(fitted.errors);
}

nlohmann::ordered_json run_check(const CheckOptions& options) {
  if (options.results.empty() == options.published.empty()) {
    throw InputError("check-model needs either --results FILE... or --published FILE");
  }
  const MachineProfile profile = load_profile(options.machine);
  std::vector<PointError> errors;
  if (!options.published.empty()) {
    errors = published_errors(read_json_object(options.published), options.published, profile);
  } else {
    JobCache jobs;
    for (const MeasuredPoint& point :
         read_results(options.results, profile, options.holdout).points) {
      errors.push_back(point_error(point, jobs.of(point), profile));
    }
  }
  print(error_table(errors));
  return error_rows(errors);
}

nlohmann::ordered_json run_predict(const PredictOptions& options) {
  const MachineProfile profile = load_profile(options.machine);
  const int threads = own_cores().threads();
  const std::vector<Prediction> predictions = predict(options, profile, threads);
  print(prediction_table(predictions, profile));
  return prediction_rows(predictions, options, profile);
}

}  // namespace hashep::bench
