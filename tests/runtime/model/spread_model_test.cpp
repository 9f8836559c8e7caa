// SPDX-License-Identifier: Apache-2.0
// Spread rows go with a model that was trained with them, and with no other.
#include <nlohmann/json.hpp>

#include "hashep/error.hpp"
#include "runtime/model/model_folder.hpp"
#include "tests/runtime/model/small_model.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

void write_config(const TempDir& dir, const nlohmann::json& own) {
  nlohmann::json config = nlohmann::json::parse(small_config_json());
  config["hashep"] = own;
  write_text(dir.file("config.json"), config.dump());
}

/// Id 3, whose row is experts 1 and 0, gets a second row.
void add_spread(Tensors& tensors, const std::string& prefix) {
  tensors[prefix + "spread_ids"] = integer_tensor(DType::i32, {1}, std::vector<int64_t>{3});
  tensors[prefix + "spread_offsets"] = integer_tensor(DType::i64, {2}, std::vector<int64_t>{0, 2});
  tensors[prefix + "spread_rows"] =
      integer_tensor(DType::i64, {2, 2}, std::vector<int64_t>{1, 0, 2, 1});
}

std::string error_of(const TempDir& dir) {
  try {
    const ModelFolder model(dir.path().string());
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

TEST_CASE("a model that was trained with spread rows has them, seeded by the layer") {
  for (const std::string prefix : {"", "model."}) {
    const TempDir dir;
    Tensors tensors = small_tensors(DType::f32, prefix);
    add_spread(tensors, prefix + "layers.0.ffn.gate.");
    add_spread(tensors, prefix + "layers.1.ffn.gate.");
    write_small_model(dir, tensors);
    write_config(dir, {{"spread", true}});
    const ModelFolder model(dir.path().string());
    CHECK(model.config().spread);
    for (const int64_t layer : {0, 1}) {
      const RoutingTable table = model.table(layer);
      REQUIRE(table.spread.has_value());
      CHECK(*table.spread == SpreadRows{.ids = {3},
                                        .offsets = {0, 2},
                                        .experts = {1, 0, 2, 1},
                                        .seed = static_cast<uint64_t>(layer)});
    }
  }
}

TEST_CASE("spread rows where the model was trained without, or none where with, are refused") {
  const TempDir dir;
  Tensors tensors = small_tensors(DType::f32, "");
  write_small_model(dir, tensors);
  write_config(dir, {{"spread", false}});
  CHECK(error_of(dir) == "no error");
  write_config(dir, {{"spread", true}});
  CHECK_THAT(error_of(dir), ContainsSubstring("layers.0.ffn.gate.tid2eid") &&
                                ContainsSubstring("has no spread rows, but the model"));
  add_spread(tensors, "layers.0.ffn.gate.");
  write_small_model(dir, tensors);
  CHECK_THAT(error_of(dir),
             ContainsSubstring("layers.0.ffn.gate.tid2eid") &&
                 ContainsSubstring("has spread rows, but the model was trained without"));
  write_config(dir, {{"spread", true}});
  CHECK_THAT(error_of(dir), ContainsSubstring("layers.1.ffn.gate.tid2eid"));
  write_config(dir, {{"spread", 1}});
  CHECK_THAT(error_of(dir), ContainsSubstring("hashep.spread: neither true nor false"));
}

TEST_CASE("spread rows of a model are checked with its table") {
  const TempDir dir;
  Tensors tensors = small_tensors(DType::f32, "");
  for (const std::string layer : {"0", "1"}) add_spread(tensors, "layers." + layer + ".ffn.gate.");
  tensors["layers.1.ffn.gate.spread_rows"] =
      integer_tensor(DType::i64, {2, 2}, std::vector<int64_t>{0, 1, 2, 1});
  write_small_model(dir, tensors);
  write_config(dir, {{"spread", true}});
  const ModelFolder model(dir.path().string());
  CHECK_NOTHROW(model.table(0));
  CHECK_THROWS_WITH(model.table(1),
                    ContainsSubstring("layers.1.ffn.gate.tid2eid") &&
                        ContainsSubstring("the first spread row of id 3 is not its row"));
}

}  // namespace
}  // namespace hashep::test
