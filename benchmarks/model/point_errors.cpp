// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/point_errors.hpp"

#include <cmath>

#include "benchmarks/model/layer_cost.hpp"
#include "core/format.hpp"
#include "core/granted_cores.hpp"
#include "hashep/error.hpp"
#include "launch/process/result_json.hpp"

namespace hashep::bench {
namespace {

std::optional<double> median_of(const std::vector<PointError>& errors, const std::string& kind,
                                const std::string* of) {
  std::vector<double> sizes;
  for (const PointError& each : errors) {
    if (each.kind == kind && (of == nullptr || each.of == *of)) {
      sizes.push_back(std::abs(each.error()));
    }
  }
  if (sizes.empty()) return std::nullopt;
  return median(sizes);
}

/// (kind, thing) -> number of points.
std::map<std::pair<std::string, std::string>, int> groups_of(
    const std::vector<PointError>& errors) {
  std::map<std::pair<std::string, std::string>, int> groups;
  for (const PointError& each : errors) {
    ++groups[{each.kind, ""}];
    ++groups[{each.kind, each.of}];
  }
  return groups;
}

double hundredths(double value) {
  return std::round(value * 100.0) / 100.0;
}

RoutedJob routed_job(const MeasuredPoint& point) {
  try {
    return {point.routing, point.shape};
  } catch (const InputError& error) {
    throw InputError(point.file + ": " + point.label + ": " + error.marked());
  }
}

}  // namespace

const JobCache::Job& JobCache::of(const MeasuredPoint& point) {
  const JobShape& shape = point.shape;
  const WorkloadOptions& workload = point.routing.workload;
  std::string key = workload.name + " " + workload.router + " " + point.routing.placement;
  for (const int64_t number :
       {workload.vocab_size, workload.seed, shape.batch_tokens, shape.num_experts, shape.top_k,
        int64_t{shape.ranks}, shape.ranks_per_node}) {
    key += " " + std::to_string(number);
  }
  std::unique_ptr<Job>& job = jobs_[key];
  if (!job) {
    RoutedJob routed = routed_job(point);
    JobFlows flows = routed.count_flows(own_cores().threads());
    job = std::make_unique<Job>(Job{std::move(routed), std::move(flows)});
  }
  return *job;
}

ExchangeCase exchange_of(const MeasuredPoint& point) {
  return {point.move, point.direction,
          static_cast<double>(point.ffn.hidden_size * dtype_size(point.dtype)), false};
}

double predict_seconds(const MeasuredPoint& point, const JobCache::Job& job,
                       const MachineProfile& profile) {
  const LayerShape shape{.ffn = point.ffn, .dtype = point.dtype, .move = point.move};
  const NodeMap& nodes = job.routed.nodes();
  switch (point.timed) {
    case TimedThing::exchange:
      return slowest_rank(exchange_work(job.flows, nodes, profile, exchange_of(point)), profile)
          .seconds;
    case TimedThing::experts:
      return experts_cost(job.flows, job.routed.placement(), profile, shape).slowest;
    case TimedThing::layer:
      break;
  }
  return layer_cost(job.flows, job.routed.placement(), nodes, profile, shape).layer();
}

PointError point_error(const MeasuredPoint& point, const JobCache::Job& job,
                       const MachineProfile& profile) {
  PointError error;
  error.of = point.label;
  error.kind = point.simulated ? "simulated" : point.held_out ? "held out" : "fitted";
  error.measured_s = point.seconds;
  error.predicted_s = predict_seconds(point, job, profile);
  error.fields = {{"file", point.file.substr(point.file.rfind('/') + 1)},
                  {"ranks", point.shape.ranks},
                  {"ranks_per_node", point.shape.ranks_per_node},
                  {"dtype", dtype_name(point.dtype)},
                  {"workload", point.routing.workload.name},
                  {"tokens_per_rank", point.tokens_per_rank},
                  {"hidden_size", point.ffn.hidden_size},
                  {"num_experts", point.shape.num_experts},
                  {"top_k", point.shape.top_k}};
  return error;
}

std::optional<double> median_error(const std::vector<PointError>& errors, const std::string& kind) {
  return median_of(errors, kind, nullptr);
}

std::string error_table(const std::vector<PointError>& errors) {
  std::string table = format("#%-10s %-32s %6s %6s %9s %13s %13s %8s\n", "kind", "of", "ranks",
                             "dtype", "tokens", "measured us", "predicted us", "error");
  for (const PointError& each : errors) {
    table +=
        format(" %-10s %-32s %6lld %6s %9lld %13.2f %13.2f %+7.1f%%\n", each.kind.c_str(),
               each.of.c_str(), each.fields.value("ranks", 0LL),
               each.fields.value("dtype", "-").c_str(), each.fields.value("tokens_per_rank", 0LL),
               each.measured_s * 1e6, each.predicted_s * 1e6, each.error() * 100.0);
  }
  for (const auto& [group, count] : groups_of(errors)) {
    const auto& [kind, of] = group;
    table += format("# median |error|, %-10s %-32s %6.1f%% of %d points\n", kind.c_str(),
                    of.empty() ? "all" : of.c_str(),
                    *median_of(errors, kind, of.empty() ? nullptr : &of) * 100.0, count);
  }
  return table;
}

nlohmann::ordered_json error_rows(const std::vector<PointError>& errors) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const PointError& each : errors) {
    nlohmann::ordered_json row{{"name", "checked"}, {"of", each.of}, {"kind", each.kind}};
    row.update(each.fields);
    row["measured_us"] = hundredths(each.measured_s * 1e6);
    row["predicted_us"] = hundredths(each.predicted_s * 1e6);
    row["error"] = std::round(each.error() * 1e4) / 1e4;
    rows.push_back(std::move(row));
  }
  for (const auto& [group, count] : groups_of(errors)) {
    const auto& [kind, of] = group;
    rows.push_back({{"name", "median_error"},
                    {"of", of.empty() ? "all" : of},
                    {"kind", kind},
                    {"points", count},
                    {"error", *median_of(errors, kind, of.empty() ? nullptr : &of)}});
  }
  return rows;
}

}  // namespace hashep::bench
