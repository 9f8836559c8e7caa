// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "benchmarks/rank_harness.hpp"
#include "hashep/dtype.hpp"
#include "hashep/exchange_plan.hpp"
#include "launch/process/result_json.hpp"

namespace hashep::bench {

/// One line of `hashep-bench exchange`.
struct ExchangeRow {
  MeasuredRow row;        // samples_us: samples.max_us
  std::string direction;  // dispatch, combine, or copy
  std::string by;         // transport or yardstick
  RankSamples samples;
  int64_t bytes = 0;  // that a rank sends, to itself too
  // Median of sample / sample of the same round; nothing where the directions differ.
  std::optional<double> to_alltoallv;
  std::optional<double> to_packed;
  std::optional<double> to_copy;
  std::optional<double> to_nccl;  // on GPUs: over NCCL's own all-to-all, whose bytes are equal

  double algbw() const { return gigabytes_per_second(bytes); }
  double busbw() const { return gigabytes_per_second(row.bytes_off_rank.value_or(0)); }

 private:
  double gigabytes_per_second(int64_t moved) const {
    return static_cast<double>(moved) / (median(samples.max_us) * 1e3);
  }
};

/// A row that says what is measured, of an exchange of rows of `hidden_size` by `plan`.
ExchangeRow blank_row(std::string_view device, const std::string& workload,
                      const ExchangePlan& plan, int64_t hidden_size, DType dtype);

/// What the columns mean, as --help and the head of the table say it.
extern const char* const kExchangeColumns;
extern const char* const kDeviceExchangeColumns;  // what differs on GPUs

/// The column titles, a line of the table, and the end of it. Lines of GPUs have two columns more.
std::string exchange_titles(bool on_gpus);
std::string exchange_line(const ExchangeRow& row);
std::string exchange_footer(std::span<const ExchangeRow> rows);

/// The line as JSON: what every measured row has, and the rest.
nlohmann::ordered_json exchange_json(const ExchangeRow& row);

/// Elements out of place, over all rows.
int64_t total_wrong(std::span<const ExchangeRow> rows);

}  // namespace hashep::bench
