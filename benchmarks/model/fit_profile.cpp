// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/fit_profile.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "benchmarks/model/nonnegative_fit.hpp"
#include "hashep/error.hpp"
#include "hashep/version.hpp"
#include "launch/process/result_json.hpp"

namespace hashep::bench {
namespace {

constexpr int kMostRounds = 50;    // of finding slowest ranks and weights again
constexpr double kSettled = 1e-9;  // relative change of what a fit predicts
constexpr size_t kMostRows = 1u << 16;

bool costs_by_message(Level level) {
  return level == Level::message || level == Level::network;
}

/// Where the coefficients of a profile stand in a row of features.
class Columns {
 public:
  explicit Columns(const MachineProfile& base) {
    for (const Level level : kLevels) {
      first_[static_cast<size_t>(level)] = size_;
      size_ += 1 + num_speeds(base, level);
    }
  }

  size_t size() const { return size_; }
  /// Seconds an exchange, or a message.
  size_t fixed(Level level) const { return first_[static_cast<size_t>(level)]; }
  /// Seconds a byte; entry `step` of `cached`, the last one beyond them.
  size_t speed(Level level, size_t step) const { return fixed(level) + 1 + step; }
  static size_t num_speeds(const MachineProfile& base, Level level) {
    return base.at(level).cached.size() + 1;
  }

 private:
  std::array<size_t, kNumLevels> first_{};
  size_t size_ = 0;
};

/// The caches of level copy at all levels within a node.
MachineProfile with_caches(MachineProfile base) {
  for (const Level level : {Level::permute, Level::node, Level::message}) {
    base.at(level).cached = base.at(Level::copy).cached;
  }
  base.at(Level::network).cached.clear();
  return base;
}

/// Each column's part in the seconds that a rank is busy.
std::vector<double> features(const RankWork& work, const MachineProfile& base,
                             const Columns& columns) {
  std::vector<double> row(columns.size());
  for (const Level level : kLevels) {
    const auto l = static_cast<size_t>(level);
    if (work.bytes[l] == 0.0 && work.messages[l] == 0.0) continue;
    // Permuting comes with messages, whose latency holds its own.
    if (costs_by_message(level)) {
      row[columns.fixed(level)] = work.messages[l];
    } else if (level != Level::permute) {
      row[columns.fixed(level)] = 1.0;
    }
    const auto& cached = base.at(level).cached;
    const auto step = std::find_if(cached.begin(), cached.end(), [&](const CachedSpeed& each) {
      return work.working_set_bytes <= each.working_set_bytes;
    });
    row[columns.speed(level, static_cast<size_t>(step - cached.begin()))] = work.bytes[l];
  }
  return row;
}

/// A profile of these coefficients. What no row has anything to say of, or what costs nothing
/// beside the rest, is as fast as with the next larger working set, or as in `base`.
MachineProfile with_coefficients(const MachineProfile& base, const Columns& columns,
                                 const std::vector<double>& seconds, const std::set<size_t>& seen,
                                 const std::string& source) {
  MachineProfile profile = base;
  for (const Level level : kLevels) {
    LevelCost& cost = profile.at(level);
    bool any = false;
    for (size_t step = cost.cached.size() + 1; step-- > 0;) {
      const size_t column = columns.speed(level, step);
      any = any || seen.contains(column);
      const bool last = step == cost.cached.size();
      const double larger = last || step + 1 == cost.cached.size()
                                ? cost.bytes_per_s
                                : cost.cached[step + 1].bytes_per_s;
      double& speed = last ? cost.bytes_per_s : cost.cached[step].bytes_per_s;
      speed = seconds[column] > 0.0 ? 1.0 / seconds[column] : larger;
    }
    if (!any) continue;
    cost.source = source;
    (costs_by_message(level) ? cost.message_s : cost.latency_s) = seconds[columns.fixed(level)];
    (costs_by_message(level) ? cost.latency_s : cost.message_s) = 0.0;
  }
  return profile;
}

/// An exchange to fit to, with what each rank does in it.
struct FitRow {
  const MeasuredPoint* point = nullptr;
  std::vector<RankWork> work;
  size_t slowest = 0;
  double predicted = 0.0;  // seconds, by the newest fit
};

std::vector<FitRow> rows_to_fit(const MachineProfile& base, const Measurements& measurements,
                                JobCache& jobs) {
  std::vector<FitRow> rows;
  for (const MeasuredPoint& point : measurements.points) {
    if (point.timed != TimedThing::exchange || point.held_out) continue;
    const JobCache::Job& job = jobs.of(point);
    rows.push_back({&point, exchange_work(job.flows, job.routed.nodes(), base, exchange_of(point)),
                    0, point.seconds});
    rows.back().slowest = slowest_rank(rows.back().work, base).rank;
  }
  if (rows.empty() || rows.size() > kMostRows) {
    throw InputError("fit: there must be 1 to " + std::to_string(kMostRows) +
                     " exchanges to fit to, not " + std::to_string(rows.size()));
  }
  return rows;
}

/// One round: a fit with the slowest ranks and weights that rows have.
MachineProfile fit_once(const MachineProfile& base, const std::vector<FitRow>& rows,
                        const std::string& source) {
  const Columns columns(base);
  std::vector<std::vector<double>> equations;
  std::vector<double> targets;
  std::set<size_t> seen;
  for (const FitRow& row : rows) {
    equations.push_back(features(row.work[row.slowest], base, columns));
    const double unit = std::sqrt(row.point->seconds * row.predicted);
    for (size_t column = 0; column < columns.size(); ++column) {
      if (equations.back()[column] > 0.0) seen.insert(column);
      equations.back()[column] /= unit;
    }
    targets.push_back(row.point->seconds / unit);
  }
  return with_coefficients(base, columns, fit_nonnegative(equations, targets), seen, source);
}

MachineProfile fit_levels(const MachineProfile& base, std::vector<FitRow>& rows,
                          const std::string& source) {
  MachineProfile profile = base;
  for (int round = 0; round < kMostRounds; ++round) {
    profile = fit_once(base, rows, source);
    bool settled = true;
    for (FitRow& row : rows) {
      const Slowest slowest = slowest_rank(row.work, profile);
      settled = settled && slowest.rank == row.slowest &&
                std::abs(slowest.seconds - row.predicted) <= kSettled * row.predicted;
      row.slowest = slowest.rank;
      row.predicted = slowest.seconds;
    }
    if (settled) break;
  }
  return profile;
}

/// Four digits: more say nothing, and the last ones depend on where a fit began.
void round_levels(MachineProfile& profile) {
  constexpr double kDigits = 4.0;
  const auto rounded = [](double& value) {
    if (value == 0.0) return;
    const double unit = std::pow(10.0, std::floor(std::log10(value)) - kDigits + 1.0);
    value = std::round(value / unit) * unit;
  };
  for (LevelCost& cost : profile.levels) {
    for (double* value : {&cost.latency_s, &cost.message_s, &cost.bytes_per_s}) rounded(*value);
    for (CachedSpeed& step : cost.cached) rounded(step.bytes_per_s);
  }
}

std::string sources_text(const Measurements& measurements) {
  std::string text = "fitted to";
  std::set<std::string> names;
  for (const MeasuredPoint& point : measurements.points) {
    if (point.timed != TimedThing::exchange || point.held_out) continue;
    names.insert(point.file.substr(point.file.rfind('/') + 1));
  }
  for (const std::string& name : names) text += " " + name;
  return text;
}

nlohmann::ordered_json fit_record(const std::vector<PointError>& errors) {
  nlohmann::ordered_json record{{"commit", commit()}};
  for (const char* kind : {"fitted", "held out"}) {
    const auto of_kind = [&](const PointError& each) { return each.kind == kind; };
    const auto error = median_error(errors, kind);
    record[kind] = {{"points", std::count_if(errors.begin(), errors.end(), of_kind)},
                    {"median_error", error ? nlohmann::ordered_json(*error) : nullptr}};
  }
  return record;
}

Band band_of(const std::vector<PointError>& errors) {
  constexpr double kLow = 0.1;
  constexpr double kHigh = 0.9;
  const bool any_held_out = median_error(errors, "held out").has_value();
  std::vector<double> ratios;
  for (const PointError& each : errors) {
    if (!any_held_out || each.kind == "held out")
      ratios.push_back(each.measured_s / each.predicted_s);
  }
  return {percentile(ratios, kLow), percentile(ratios, kHigh),
          std::string("10th and 90th percentile of measured / predicted over ") +
              (any_held_out ? "held-out points" : "fitted points")};
}

}  // namespace

FittedProfile fit_profile(const MachineProfile& base, const Measurements& measurements,
                          JobCache& jobs) {
  if (base.overlap) {
    throw InputError("fit: machine " + base.name + " overlaps its levels, so times do not add up");
  }
  const MachineProfile cached = with_caches(base);
  const std::string source = sources_text(measurements);
  std::vector<FitRow> rows = rows_to_fit(cached, measurements, jobs);
  FittedProfile fitted{fit_levels(cached, rows, source), {}};
  round_levels(fitted.profile);
  if (!measurements.gemms.empty()) {
    fitted.profile.gemm = gemm_speeds(measurements.gemms);
    fitted.profile.gemm_source = "medians of hashep-bench experts over activations and ffn sizes";
  }
  for (const MeasuredPoint& point : measurements.points) {
    if (point.timed != TimedThing::exchange &&
        !fitted.profile.gemm.contains(std::string(dtype_name(point.dtype)))) {
      continue;
    }
    fitted.errors.push_back(point_error(point, jobs.of(point), fitted.profile));
  }
  fitted.profile.fit = fit_record(fitted.errors);
  fitted.profile.band = band_of(fitted.errors);
  return fitted;
}

}  // namespace hashep::bench
