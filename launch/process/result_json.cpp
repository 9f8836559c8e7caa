// SPDX-License-Identifier: Apache-2.0
#include "launch/process/result_json.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "core/atomic_file.hpp"
#include "hashep/error.hpp"
#include "hashep/version.hpp"

namespace hashep {
namespace {

using nlohmann::ordered_json;

template <typename T>
ordered_json or_null(const std::optional<T>& value) {
  return value.has_value() ? ordered_json(*value) : ordered_json(nullptr);
}

double hundredths(double value) {
  return std::round(value * 100.0) / 100.0;
}

std::vector<double> sorted(std::span<const double> samples) {
  if (samples.empty()) throw RunError("no samples to summarise");
  std::vector<double> values(samples.begin(), samples.end());
  std::sort(values.begin(), values.end());
  return values;
}

/// The processor as Linux names it, or its architecture.
std::string cpu_name() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  utsname names{};
  return uname(&names) == 0 ? names.machine : "unknown";
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  std::array<char, sizeof "2000-01-01T00:00:00Z"> text{};
  if (gmtime_r(&now, &parts) == nullptr) return "unknown";
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

}  // namespace

std::string version_text() {
  return "hashep " + std::string(version()) + " (" + std::string(commit()) + ")";
}

double percentile(std::span<const double> samples, double p) {
  const std::vector<double> values = sorted(samples);
  const double rank = std::ceil(p * static_cast<double>(values.size()));
  return values[static_cast<size_t>(std::max(rank, 1.0)) - 1];
}

double median(std::span<const double> samples) {
  const std::vector<double> values = sorted(samples);
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2.0;
}

ordered_json row_json(const MeasuredRow& row) {
  ordered_json json{{"name", row.name},
                    {"transport", or_null(row.transport)},
                    {"device", or_null(row.device)},
                    {"dtype", or_null(row.dtype)},
                    {"workload", or_null(row.workload)},
                    {"tokens_per_rank", or_null(row.tokens_per_rank)},
                    {"hidden_size", or_null(row.hidden_size)},
                    {"ffn_size", or_null(row.ffn_size)},
                    {"num_experts", or_null(row.num_experts)},
                    {"top_k", or_null(row.top_k)},
                    {"bytes_off_rank", or_null(row.bytes_off_rank)}};
  for (const auto* name : {"median_us", "p50_us", "p90_us", "p99_us", "min_us"}) {
    json[name] = nullptr;
  }
  ordered_json samples = ordered_json::array();
  if (!row.samples_us.empty()) {
    json["median_us"] = hundredths(median(row.samples_us));
    json["p50_us"] = hundredths(percentile(row.samples_us, 0.50));
    json["p90_us"] = hundredths(percentile(row.samples_us, 0.90));
    json["p99_us"] = hundredths(percentile(row.samples_us, 0.99));
    json["min_us"] = hundredths(*std::min_element(row.samples_us.begin(), row.samples_us.end()));
    for (const double sample : row.samples_us) samples.push_back(hundredths(sample));
  }
  json["samples_us"] = std::move(samples);
  json["max_over_ranks"] = true;
  json["wrong"] = or_null(row.wrong);
  return json;
}

ordered_json result_document(const ResultHead& head, ordered_json results) {
  return {{"program", head.program},
          {"version", version()},
          {"commit", commit()},
          {"date", utc_now()},
          {"args", head.args},
          {"machine",
           {{"cpu", cpu_name()},
            {"cores", std::thread::hardware_concurrency()},
            {"gpu", or_null(head.gpu)},
            {"mpi", or_null(head.mpi)}}},
          {"ranks", head.ranks},
          {"results", std::move(results)}};
}

void write_result(const std::string& path, const ordered_json& document) {
  write_file_atomically(
      path, document.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace hashep
