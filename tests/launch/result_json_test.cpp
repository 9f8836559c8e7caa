// SPDX-License-Identifier: Apache-2.0
#include "launch/process/result_json.hpp"

#include <fstream>
#include <nlohmann/json.hpp>

#include "hashep/error.hpp"
#include "hashep/version.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

namespace hashep::test {

TEST_CASE("percentiles are samples, and the median of an even number lies between two") {
  const std::vector<double> samples{5, 1, 4, 2, 3, 10, 9, 8, 7, 6};
  CHECK(percentile(samples, 0.5) == 5.0);
  CHECK(percentile(samples, 0.9) == 9.0);
  CHECK(percentile(samples, 0.99) == 10.0);
  CHECK(percentile(samples, 0.0) == 1.0);
  CHECK(median(samples) == 5.5);
  CHECK(median(std::vector<double>{3, 1, 2}) == 2.0);
  CHECK_THROWS_AS(median({}), RunError);
}

TEST_CASE("a result has the fields that scripts rely on, null where one has no meaning") {
  MeasuredRow row;
  row.name = "experts";
  row.dtype = "bf16";
  row.tokens_per_rank = int64_t{1} << 40;
  row.samples_us = {2.004, 1.0, 4.0};
  row.wrong = 0;
  ResultHead head{"hashep-bench", {"experts", "-n", "3"}, 2, std::nullopt, "Open MPI 4.1.4"};
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  rows.push_back(row_json(row));
  MeasuredRow untimed;
  untimed.name = "plan";
  rows.push_back(row_json(untimed));
  const TempDir folder;
  const std::string path = folder.file("result.json");
  write_result(path, result_document(head, rows));

  std::ifstream file(path);
  const auto json = nlohmann::json::parse(file);
  CHECK(json.at("program") == "hashep-bench");
  CHECK(json.at("version") == version());
  CHECK(json.at("commit") == commit());
  CHECK(json.at("date").get<std::string>().size() == 20);
  CHECK(json.at("args") == nlohmann::json({"experts", "-n", "3"}));
  CHECK(json.at("ranks") == 2);
  CHECK(json.at("machine").at("cores").get<int>() > 0);
  CHECK(json.at("machine").at("cpu").is_string());
  CHECK(json.at("machine").at("gpu").is_null());
  CHECK(json.at("machine").at("mpi") == "Open MPI 4.1.4");
  const auto& timed = json.at("results").at(0);
  CHECK(timed.at("transport").is_null());
  CHECK(timed.at("tokens_per_rank") == int64_t{1} << 40);
  CHECK(timed.at("median_us") == 2.0);
  CHECK(timed.at("p99_us") == 4.0);
  CHECK(timed.at("min_us") == 1.0);
  CHECK(timed.at("samples_us") == nlohmann::json({2.0, 1.0, 4.0}));
  CHECK(timed.at("max_over_ranks") == true);
  CHECK(timed.at("wrong") == 0);
  CHECK(json.at("results").at(1).at("median_us").is_null());
  CHECK(json.at("results").at(1).at("samples_us").empty());
}

}  // namespace hashep::test
