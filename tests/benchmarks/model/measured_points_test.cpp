// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/measured_points.hpp"

#include "benchmarks/model/published.hpp"
#include "hashep/error.hpp"
#include "tests/benchmarks/model/profile_case.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using namespace hashep::bench;

namespace {

nlohmann::json row(const std::string& name, const std::string& transport, int64_t tokens) {
  nlohmann::json json{{"name", name},       {"transport", nullptr}, {"dtype", "fp32"},
                      {"workload", "zipf"}, {"median_us", 5.0},     {"tokens_per_rank", tokens},
                      {"hidden_size", 64},  {"ffn_size", 32},       {"num_experts", 4},
                      {"top_k", 2},         {"samples_us", {5.0}}};
  if (!transport.empty()) json["transport"] = transport;
  return json;
}

nlohmann::json document(const std::string& command, std::vector<nlohmann::json> rows) {
  return {{"args", {command, "--vocab-size", "4K"}}, {"ranks", 4}, {"results", std::move(rows)}};
}

Measurements read(const nlohmann::json& result, int64_t holdout = 3) {
  Measurements measurements;
  add_measurements(result, "dir/r.json", 2, holdout, measurements);
  return measurements;
}

}  // namespace

TEST_CASE("rows of an exchange become points, every third size held out") {
  std::vector<nlohmann::json> rows;
  for (const int64_t tokens : {1, 2, 4, 8, 16, 32}) {
    rows.push_back(row("dispatch", "hier", tokens));
    rows.push_back(row("alltoallv", "", tokens));
    rows.back()["direction"] = "combine";
    rows.push_back(row("copy_bound", "", tokens));
    rows.back()["workload"] = "zipf, memcpy";
  }
  const Measurements read_rows = read(document("exchange", rows));
  REQUIRE(read_rows.points.size() == 18);
  for (size_t i = 0; i < 18; ++i) CHECK(read_rows.points[i].held_out == (i / 3 % 3 == 2));
  const MeasuredPoint& first = read_rows.points[0];
  CHECK(first.label == "hier dispatch");
  CHECK(first.move == Move::once);
  CHECK(first.shape.ranks == 4);
  CHECK(first.shape.ranks_per_node == 2);
  CHECK(first.shape.batch_tokens == 4);
  CHECK(first.routing.workload.name == "zipf");
  CHECK(first.routing.workload.vocab_size == 4096);
  CHECK(first.seconds == Approx(5e-6));
  CHECK(read_rows.points[1].label == "alltoallv combine");
  CHECK(read_rows.points[1].direction == Direction::combine);
  CHECK(read_rows.points[2].move == Move::copied);
  CHECK(read(document("exchange", rows), 0).points[8].held_out == false);
}

TEST_CASE("rows of layers, of GEMMs and of simulations are told apart") {
  nlohmann::json untimed = row("dispatch", "mpi", 1);
  untimed["median_us"] = nullptr;
  untimed["samples_us"] = nlohmann::json::array();
  const Measurements layer =
      read(document("layer", {row("layer", "shm", 8), row("experts", "shm", 8),
                              row("combine", "shm", 8), row("plan", "shm", 8), untimed}));
  REQUIRE(layer.points.size() == 2);
  CHECK(layer.points[0].timed == TimedThing::layer);
  CHECK(layer.points[1].timed == TimedThing::experts);
  CHECK(layer.points[1].held_out);
  CHECK(layer.skipped.at("combine") == 1);
  CHECK(layer.skipped.at("dispatch") == 1);

  nlohmann::json gemm = row("experts", "", 128);
  gemm["workload"] = "relu, 32 rows per expert";
  const Measurements gemms = read(document("experts", {gemm}));
  REQUIRE(gemms.gemms.size() == 1);
  CHECK(gemms.gemms[0].rows == 32.0);
  CHECK(gemms.gemms[0].flops_per_s == Approx(4.0 * 128 * 64 * 32 / 5e-6));

  nlohmann::json simulated = row("combine", "mpi", 8);
  simulated["simulated"] = true;
  simulated["ranks"] = 64;
  simulated["ranks_per_node"] = 8;
  simulated["vocab_size"] = 77;
  const Measurements simulation = read(document("simulate", {simulated}));
  REQUIRE(simulation.points.size() == 1);
  CHECK(simulation.points[0].simulated);
  CHECK(simulation.points[0].shape.ranks == 64);
  CHECK(simulation.points[0].shape.ranks_per_node == 8);
  CHECK(simulation.points[0].routing.workload.vocab_size == 77);
  simulated.erase("vocab_size");
  nlohmann::json unnamed = document("64,256", {simulated});
  unnamed["program"] = "hashep-sim";
  CHECK(read(unnamed).points[0].routing.workload.vocab_size == 129280);
}

TEST_CASE("a row's ids and their routing follow from its names and the command line") {
  nlohmann::json result =
      document("exchange",
               {row("dispatch", "mpi", 8), row("dispatch", "mpi", 8), row("dispatch", "mpi", 8)});
  result["args"] = {"exchange", "--router=bigram", "--seed", "1K", "--placement", "balanced"};
  result["results"][0]["workload"] = "hot-rank";
  result["results"][1]["router"] = "position";
  const Measurements made = read(result);
  REQUIRE(made.points.size() == 3);
  for (const MeasuredPoint& point : made.points) {
    CHECK(point.routing.workload.seed == 1024);
    CHECK(point.routing.workload.vocab_size == 32768);
    CHECK(point.routing.placement == "balanced");
  }
  CHECK(made.points[0].routing.workload.name == "hot-rank");
  CHECK(made.points[0].routing.workload.router.empty());
  CHECK(made.points[1].routing.workload.router == "position");
  CHECK(made.points[2].routing.workload.router == "bigram");

  for (const auto& args : {nlohmann::json{"exchange", "--tokens", "ids.bin"},
                           nlohmann::json{"exchange", "--table=t.npy"},
                           nlohmann::json{"exchange", "--router", "table"}}) {
    INFO(args);
    nlohmann::json of_files = document("exchange", {row("dispatch", "mpi", 8)});
    of_files["args"] = args;
    CHECK(read(of_files).skipped.at("dispatch of another workload") == 1);
  }
  nlohmann::json unknown = row("dispatch", "mpi", 8);
  unknown["workload"] = "tokens";
  CHECK(read(document("exchange", {unknown})).points.empty());
}

TEST_CASE("layers that the model does not know are skipped") {
  for (const auto& [key, value] : {std::pair<std::string, nlohmann::json>{"planning", "inline"},
                                   {"num_layers", 2},
                                   {"workload", "burst"}}) {
    INFO(key);
    nlohmann::json other = row("layer", "shm", 8);
    other[key] = value;
    CHECK(read(document("layer", {other})).skipped.at("layer of another kind of layer") == 1);
  }
  nlohmann::json shared = document("layer", {row("layer", "shm", 8)});
  shared["args"] = {"layer", "--num-shared-experts", "1"};
  CHECK(read(shared).points.empty());
}

TEST_CASE("files that are no results are refused") {
  CHECK_THROWS_WITH(read({{"ranks", 1}}), "dir/r.json: args: is missing");
  nlohmann::json bad = row("dispatch", "mpi", 8);
  bad["dtype"] = "fp8";
  CHECK_THROWS_WITH(read(document("exchange", {bad})),
                    "dir/r.json: row 0: dtype: must be fp32 or bf16");
}

TEST_CASE("published bandwidths count bytes as the publication does") {
  // One node of 2 ranks, an expert each: top 2 sends every token to both, a row each.
  const nlohmann::json entry{{"library", "l"},       {"kernels", "k"},
                             {"source", "s"},        {"of", "dispatch"},
                             {"ranks", 2},           {"ranks_per_node", 2},
                             {"tokens_per_rank", 8}, {"hidden_size", 10},
                             {"num_experts", 2},     {"top_k", 2},
                             {"top_groups", 1},      {"bytes_per_element", 2},
                             {"rows", "rank"},       {"bandwidth_gb_s", 1e-9},
                             {"counted", "ranks"}};
  const nlohmann::json file{{"description", "d"}, {"entries", {entry}}};
  const MachineProfile profile = test::round_profile(true);
  const auto errors = published_errors(file, "p.json", profile);
  REQUIRE(errors.size() == 1);
  CHECK(errors[0].kind == "published");
  CHECK(errors[0].measured_s == Approx(2 * 8 * 20.0));            // at 1 byte/s, own rows counted
  CHECK(errors[0].predicted_s == Approx(1 + 2 + 8 * 20 / 20.0));  // but not moved
  nlohmann::json bad = file;
  bad["entries"][0]["rows"] = "token";
  CHECK_THROWS_WITH(published_errors(bad, "p.json", profile),
                    "p.json: entry 0: rows: must be rank or assignment");
}
