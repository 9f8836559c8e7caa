// SPDX-License-Identifier: Apache-2.0
#include "comm/plan/placement_file.hpp"

#include <nlohmann/json.hpp>

#include "core/atomic_file.hpp"
#include "hashep/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

using namespace hashep;

namespace {

PlacementRecord record_of(const std::vector<std::vector<int64_t>>& counts, int ep_size) {
  PlacementRecord record{.method = "balanced",
                         .router = "token",
                         .corpus = "ids.bin",
                         .corpus_digest = 0x1234,
                         .corpus_tokens = 77,
                         .ranks_per_node = 2,
                         .layers = {},
                         .expert_counts = counts};
  for (const auto& of_layer : counts) {
    record.layers.push_back(balanced_placement(of_layer, nodes_of_equal_size(ep_size, 2)));
  }
  return record;
}

const std::vector<std::vector<int64_t>> kCounts = {{9, 1, 4, 4, 2}, {1, 1, 1, 1, 30}};

}  // namespace

TEST_CASE("a placement file gives back its placements, and tells what they were made from") {
  const test::TempDir folder;
  const std::string path = folder.file("p.json");
  const PlacementRecord record = record_of(kCounts, 3);
  write_file_atomically(path, placement_text(record));
  CHECK(load_placements(path, {.num_layers = 2, .num_experts = 5, .ep_size = 3}) == record.layers);
  const auto root = nlohmann::json::parse(placement_text(record));
  CHECK(root["corpus"]["digest"] == "0x0000000000001234");
  CHECK(root["corpus"]["tokens"] == 77);
  CHECK(root["layers"][1]["expert_counts"] == kCounts[1]);
  CHECK(root["version"].is_string());
}

TEST_CASE("ranks may own no expert of a placement file") {
  const test::TempDir folder;
  const std::string path = folder.file("p.json");
  const PlacementRecord record = record_of({{3, 1}}, 5);
  write_file_atomically(path, placement_text(record));
  CHECK(load_placements(path, {.num_layers = 1, .num_experts = 2, .ep_size = 5}) == record.layers);
}

TEST_CASE("a placement file for another job is refused, with both numbers") {
  const test::TempDir folder;
  const std::string path = folder.file("p.json");
  write_file_atomically(path, placement_text(record_of(kCounts, 3)));
  CHECK_THROWS_WITH(load_placements(path, {.num_layers = 2, .num_experts = 5, .ep_size = 4}),
                    ContainsSubstring("p.json: the placement is for 3 ranks, the job has 4"));
  CHECK_THROWS_WITH(load_placements(path, {.num_layers = 1, .num_experts = 5, .ep_size = 3}),
                    ContainsSubstring("for 2 layers, the job has 1"));
  CHECK_THROWS_WITH(load_placements(path, {.num_layers = 2, .num_experts = 6, .ep_size = 3}),
                    ContainsSubstring("for 5 experts, the job has 6"));
  CHECK_THROWS_AS(load_placements(folder.file("none.json"), {1, 1, 1}), InputError);
}

TEST_CASE("a placement file that was spoilt is refused, with what is wrong") {
  const test::TempDir folder;
  const std::string path = folder.file("p.json");
  const auto good = nlohmann::json::parse(placement_text(record_of({{1, 1, 1, 1}}, 2)));
  REQUIRE(good["layers"][0]["experts"].size() == 2);
  const auto refused = [&](nlohmann::json root, const std::string& text) {
    write_file_atomically(path, root.dump());
    CHECK_THROWS_WITH(load_placements(path, {.num_layers = 1, .num_experts = 4, .ep_size = 2}),
                      ContainsSubstring(text));
  };
  const auto with_experts = [&](const nlohmann::json& experts) {
    nlohmann::json root = good;
    root["layers"][0]["experts"] = experts;
    return root;
  };
  using Json = nlohmann::json;
  refused(with_experts(Json{{0, 1}, {2}}), "layer 0: expert 3 is on no rank");
  refused(with_experts(Json{{0, 1}, {2, 3, 1}}), "expert 1 is on rank 0 and on rank 1");
  refused(with_experts(Json{{0, 1}, {2, 4}}), "rank 1: 4 is not an expert in [0, 4)");
  refused(with_experts(Json{{0, -1}, {2, 3}}), "rank 0: -1 is not an expert");
  refused(with_experts(Json{{0, 1}, {2, 18446744073709551615u}}), "is not an expert");
  refused(with_experts(Json{{0, 1}, {2, "3"}}), "is not an expert");
  refused(with_experts(Json{{0, 1}}), "expected a list for each of 2 ranks");
  refused(with_experts(Json{{0, 1}, 2}), "rank 1: not a list");
  nlohmann::json root = good;
  root["layers"] = Json::array();
  refused(root, "expected a list of 1");
  root["layers"] = Json{7};
  refused(root, "layer 0: experts");
  root.erase("ranks");
  refused(root, "ranks: missing or not a whole number");
  refused(Json{{"format", "other"}}, "not a placement file");
  refused(Json::object(), "not a placement file");
}
