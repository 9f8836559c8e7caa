// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/workloads/make_workload.hpp"

#include <algorithm>

#include "hashep/error.hpp"
#include "runtime/layer/dry_run.hpp"
#include "tests/benchmarks/workload_cases.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using bench::MadeWorkload;
using bench::WorkloadOptions;
using test::WorkloadCase;

namespace {

void check_refused(const WorkloadOptions& options, const std::string& text) {
  INFO(text);
  try {
    bench::make_workload(options, one_node(2), 4);
    FAIL("not refused");
  } catch (const InputError& error) {
    CHECK(std::string(error.what()).find(text) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("workloads have a number and a name") {
  const std::vector<std::pair<std::string, std::string>> words = {
      {"W0", "balanced"},  {"W1", "hot-experts"}, {"W2", "hot-rank"}, {"W3", "ragged-source"},
      {"W4", "zero-load"}, {"W5", "rotating"},    {"W6", "burst"},    {"W7", "text"}};
  for (const auto& [number, name] : words) {
    CHECK(bench::parse_workload(number) == bench::parse_workload(name));
    CHECK(bench::workload_name(bench::parse_workload(number)) == name);
  }
  CHECK(bench::parse_workload("w5") == bench::parse_workload("W5"));
  for (const char* unknown : {"", "W", "W8", "w55", "normal", "Balanced"}) {
    CHECK_THROWS_AS(bench::parse_workload(unknown), InputError);
  }
}

TEST_CASE("however a stream is read, it holds the same ids") {
  for (const char* name : {"uniform", "zipf", "W0", "W1", "W2", "W3", "W4", "W5", "W6"}) {
    INFO(name);
    const WorkloadCase c = test::workload_case({.name = name, .top_k = 2}, 5, 23);
    std::vector<int32_t> whole(7 * 5 * 23);
    c.made.stream->read(0, whole);
    std::vector<int32_t> pieces;
    for (int64_t size = 1; pieces.size() < whole.size(); size = size * 3 % 101) {
      std::vector<int32_t> piece(size);
      c.made.stream->read(static_cast<int64_t>(pieces.size()), piece);
      pieces.insert(pieces.end(), piece.begin(), piece.end());
    }
    pieces.resize(whole.size());
    CHECK(pieces == whole);
    std::vector<int32_t> by_rank;
    for (int64_t step = 0; step < 7; ++step) {
      for (int rank = 0; rank < 5; ++rank) {
        const StreamBatch batch = c.batch(step, rank);
        by_rank.insert(by_rank.end(), batch.ids.begin(), batch.ids.end());
      }
    }
    CHECK(by_rank == whole);
    const auto [least, most] = std::minmax_element(whole.begin(), whole.end());
    CHECK(*least < *most);
  }
}

TEST_CASE("seeds and layers have routing of their own") {
  for (const char* name : {"uniform", "W0", "W1", "W5"}) {
    INFO(name);
    const WorkloadOptions options{.name = name, .num_layers = 3, .num_experts = 32, .top_k = 2};
    WorkloadOptions other = options;
    other.seed = 2;
    const WorkloadCase c = test::workload_case(options, 4, 64);
    REQUIRE(c.made.geometry.num_layers() == 3);
    CHECK(c.made.geometry.placements().size() == 3);
    CHECK(c.experts(0, 2, 0) != c.experts(0, 2, 1));
    CHECK(c.experts(0, 2, 1) != c.experts(0, 2, 2));
    CHECK(c.batch(0, 1).ids != c.batch(0, 2).ids);
    CHECK(c.batch(0, 1).ids != test::workload_case(other, 4, 64).batch(0, 1).ids);
  }
}

TEST_CASE("a dry run of a workload has the loads that the workload is named for") {
  const auto load = [](const char* name, int64_t steps) {
    const WorkloadCase c =
        test::workload_case({.name = name, .num_layers = 2, .num_experts = 64}, 8, 704);
    DryRunOptions options;
    options.batch_tokens = 8 * 704;
    options.seq_len = c.made.seq_len;
    options.steps = steps;
    return dry_run(c.made.geometry, *c.made.router, *c.made.stream, options);
  };
  CHECK(load("W0", 3).expert_max_over_mean == 1.0);
  CHECK(load("W1", 3).expert_max_over_mean == 4.5);
  CHECK(load("W1", 3).rank_max_over_mean == 1.0);
  // 704 tokens of 8 ranks, of which 192 go to the hot one: as many rows as there are.
  CHECK(load("W2", 3).rank_max_over_mean == 8.0 * 8.0 * (192 + 512 / 8) / (8.0 * 704));
  CHECK(load("W4", 3).rank_max_over_mean == 2.0);
  CHECK(load("W5", 1).expert_max_over_mean > 7.0);
  CHECK(load("W5", 64).expert_max_over_mean < 1.01);  // each was hot once
}

TEST_CASE("options that do not go together are refused") {
  check_refused({.name = "W7"}, "--workload W7 needs --tokens FILE");
  check_refused({.name = "W0", .tokens = {"ids.npy", TokenDtype::u16, ""}},
                "--tokens does not go with");
  check_refused({.name = "zipf", .tokens = {"ids.npy", TokenDtype::u16, ""}},
                "--tokens does not go with");
  check_refused({.name = "W1", .router = "bigram"}, "--router does not go with --workload W1");
  check_refused({.name = "W1", .table = "t.npy"}, "--table does not go with --workload W1");
  check_refused({.name = "zipf", .router = "table"}, "--router table needs --table FILE");
  check_refused({.name = "uniform", .router = "token", .table = "t.npy"},
                "--table goes with --router table");
  check_refused({.name = "uniform", .router = "dice"}, "dice");
  check_refused({.name = "zero-load", .num_experts = 2, .top_k = 2}, "ranks with load");
  check_refused({.name = "W0", .num_experts = 2, .top_k = 3}, "--top-k 3");
  check_refused({.name = "W8"}, "--workload W8: known are uniform, zipf, W0 balanced");
}
