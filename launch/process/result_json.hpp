// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hashep {

/// What `hashep --version` prints.
std::string version_text();

/// The sample at or below which a share `p` in (0, 1] of the samples lies (nearest rank); the mean
/// of the two middle ones for `median`. Throw RunError where there is no sample.
double percentile(std::span<const double> samples, double p);
double median(std::span<const double> samples);

/// One measured thing, as every program reports it. What has no meaning stays empty and is null.
struct MeasuredRow {
  std::string name;
  std::optional<std::string> transport;
  std::optional<std::string> device;
  std::optional<std::string> dtype;
  std::optional<std::string> workload;
  std::optional<int64_t> tokens_per_rank;
  std::optional<int64_t> hidden_size;
  std::optional<int64_t> ffn_size;
  std::optional<int64_t> num_experts;
  std::optional<int64_t> top_k;
  std::optional<int64_t> bytes_off_rank;
  std::vector<double> samples_us;  // each the maximum over ranks; empty: nothing was timed
  std::optional<int64_t> wrong;    // elements or rows that failed the check before timing
};

/// A row's fields, samples rounded to 0.01 microseconds.
nlohmann::ordered_json row_json(const MeasuredRow& row);

/// What ran, where and how, for the head of a result.
struct ResultHead {
  std::string program;
  std::vector<std::string> args;  // without the program's name
  int ranks = 1;
  std::optional<std::string> gpu;
  std::optional<std::string> mpi;  // library and version
};

/// A result in the one shape of every program (docs/design.md): program, version, commit, date
/// (UTC), args, machine (of the caller's host), ranks, results.
nlohmann::ordered_json result_document(const ResultHead& head, nlohmann::ordered_json results);

/// Writes a result to `path`, whole or not at all.
void write_result(const std::string& path, const nlohmann::ordered_json& document);

}  // namespace hashep
