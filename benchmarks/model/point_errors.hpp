// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "benchmarks/model/measured_points.hpp"

namespace hashep::bench {

/// The routing and the flows of jobs, each made once.
class JobCache {
 public:
  struct Job {
    RoutedJob routed;
    JobFlows flows;
  };
  /// Throws InputError.
  const Job& of(const MeasuredPoint& point);

 private:
  std::map<std::string, std::unique_ptr<Job>> jobs_;
};

/// The exchange that a point times.
ExchangeCase exchange_of(const MeasuredPoint& point);

/// Throws InputError where the profile lacks GEMMs of the dtype.
double predict_seconds(const MeasuredPoint& point, const JobCache::Job& job,
                       const MachineProfile& profile);

/// Measured beside predicted.
struct PointError {
  std::string of;
  std::string kind;  // fitted, held out, simulated, published, calibrates
  double measured_s = 0.0;
  double predicted_s = 0.0;
  nlohmann::ordered_json fields;  // what else a row says of the point

  double error() const { return predicted_s / measured_s - 1.0; }
};

PointError point_error(const MeasuredPoint& point, const JobCache::Job& job,
                       const MachineProfile& profile);

/// A table for people, with the median error of each kind.
std::string error_table(const std::vector<PointError>& errors);
/// The median of |error| over points of a kind, nothing where there is none.
std::optional<double> median_error(const std::vector<PointError>& errors, const std::string& kind);
/// Rows of a result: name "checked", of, kind, measured_us, predicted_us, error, and the fields;
/// then rows named "median_error" for each kind, and for each kind and thing.
nlohmann::ordered_json error_rows(const std::vector<PointError>& errors);

}  // namespace hashep::bench
