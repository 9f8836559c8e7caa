// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/machine_profile.hpp"

#include "core/strict_json.hpp"
#include "hashep/error.hpp"
#include "tests/benchmarks/model/profile_case.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using namespace hashep::bench;

namespace {

const std::string kGood = R"({"name": "m", "description": "d", "ranks_per_node": 8,
  "levels": {"copy": {"bytes_per_s": 100, "latency_s": 1e-6, "cached": [[10, 400], [20, 200]],
                      "source": "s"},
             "node": {"bytes_per_s": 50, "source": "s"},
             "network": {"bytes_per_s": 5, "message_s": 2e-6, "source": "s"}},
  "gemm": {"bf16": [[1, 10], [100, 1000]], "source": "s"},
  "band": {"low": 0.9, "high": 1.2, "source": "s"}})";

MachineProfile parse(const std::string& text) {
  return parse_profile(parse_json_object(text, "m.json"), "m.json");
}

std::string with(const std::string& from, const std::string& to) {
  std::string text = kGood;
  const size_t place = text.find(from);
  REQUIRE(place != std::string::npos);
  return text.replace(place, from.size(), to);
}

}  // namespace

TEST_CASE("a machine profile is read, what it leaves out following from the rest") {
  const MachineProfile profile = parse(kGood);
  CHECK(profile.ranks_per_node == 8);
  CHECK_FALSE(profile.overlap);
  CHECK_FALSE(profile.network_per_node);
  CHECK(profile.at(Level::permute) == profile.at(Level::copy));
  CHECK(profile.at(Level::message) == profile.at(Level::node));
  CHECK(profile.at(Level::network).message_s == 2e-6);
  CHECK(profile.at(Level::network).latency_s == 0.0);
  CHECK(profile.band.high == 1.2);

  const LevelCost& copy = profile.at(Level::copy);
  CHECK(copy.speed(10) == 400);
  CHECK(copy.speed(11) == 200);
  CHECK(copy.speed(21) == 100);
}

TEST_CASE("a machine profile written is the one read") {
  const MachineProfile profile = parse(kGood);
  const MachineProfile again = parse(profile_json(profile).dump());
  CHECK(again.levels == profile.levels);
  CHECK(again.gemm == profile.gemm);
  CHECK(again.band == profile.band);
  CHECK(again.ranks_per_node == profile.ranks_per_node);
  CHECK(profile_json(again) == profile_json(profile));
}

TEST_CASE("a bad machine profile is refused by file and key") {
  const auto refuses = [](const std::string& text, const std::string& message) {
    INFO(text);
    CHECK_THROWS_WITH(parse(text), "m.json: " + message);
    CHECK_THROWS_AS(parse(text), InputError);
  };
  refuses(with("\"name\": \"m\", ", ""), "name: is missing");
  refuses(with("\"name\": \"m\"", "\"name\": 1"), "name: must be a text");
  refuses(with("\"ranks_per_node\": 8", "\"ranks_per_node\": 0"),
          "ranks_per_node: must be a whole number from 1 to 1048576");
  refuses(with("\"ranks_per_node\": 8", "\"ranks_per_node\": 2.5"),
          "ranks_per_node: must be a whole number from 1 to 1048576");
  refuses(with("\"bytes_per_s\": 50", "\"bytes_per_s\": -1"),
          "levels: node: bytes_per_s: must be a positive number");
  refuses(with("\"bytes_per_s\": 50, \"source\": \"s\"", "\"bytes_per_s\": 50, \"source\": \"\""),
          "levels: node: source: must say where the figures are from");
  refuses(with("\"bytes_per_s\": 50", "\"bytes_per_s\": 50, \"speed\": 1"),
          "levels: node: unknown key \"speed\"");
  refuses(with("\"latency_s\": 1e-6", "\"latency_s\": -1"),
          "levels: copy: latency_s: must be a number of at least 0");
  refuses(with("[20, 200]", "[10, 200]"),
          "levels: copy: cached: the first numbers of pairs must ascend");
  refuses(with("[100, 1000]", "[100]"), "gemm: bf16: must hold pairs of positive numbers");
  refuses(with("\"network\"", "\"net\""), "levels: network: is missing");
  refuses(with("\"high\": 1.2", "\"high\": 0.1"), "band: high: must be at least low");
  refuses(with("\"ranks_per_node\"", "\"gpus\": 1, \"ranks_per_node\""), "unknown key \"gpus\"");
}

TEST_CASE("GEMM speeds are interpolated in logarithms, and follow rows below the first") {
  const MachineProfile profile = test::round_profile();
  CHECK(gemm_speed(profile, DType::f32, 1.0) == 10.0);
  CHECK(gemm_speed(profile, DType::f32, 0.5) == 5.0);
  CHECK(gemm_speed(profile, DType::f32, 2.0) == Approx(20.0));
  CHECK(gemm_speed(profile, DType::f32, 4.0) == Approx(40.0));
  CHECK(gemm_speed(profile, DType::f32, 8.0) == Approx(40.0 * std::sqrt(2.0)));
  CHECK(gemm_speed(profile, DType::f32, 1000.0) == 80.0);
  CHECK_THROWS_WITH(gemm_speed(profile, DType::bf16, 1.0),
                    "machine round has no GEMM speeds for bf16");
}
