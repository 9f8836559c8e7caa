// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/insert_tables.hpp"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/input_file.hpp"
#include "core/safetensors_edit.hpp"
#include "hashep/error.hpp"
#include "runtime/model/model_folder.hpp"
#include "runtime/model/model_tables.hpp"
#include "tests/runtime/model/small_model.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

namespace fs = std::filesystem;

const RoutingTable kNew{7, 2, {2, 0, 0, 2, 1, 2, 0, 1, 1, 0, 2, 1, 1, 2}};
const RoutingTable kOld{7, 2, {0, 1, 1, 2, 2, 0, 1, 0, 2, 1, 0, 2, 0, 1}};

/// The tensors in two files: tables apart from weights, which only an index joins.
void write_indexed_model(const TempDir& dir, const std::string& prefix) {
  Tensors weights = small_tensors(DType::bf16, prefix);
  Tensors tables;
  for (const std::string layer : {"0", "1"}) {
    const std::string name = prefix + "layers." + layer + ".ffn.gate.tid2eid";
    tables[name] = weights.at(name);
    weights.erase(name);
  }
  nlohmann::json index;
  for (const auto& [name, tensor] : weights) index["weight_map"][name] = "weights.safetensors";
  for (const auto& [name, tensor] : tables) index["weight_map"][name] = "tables.safetensors";
  write_text(dir.file("config.json"), small_config_json());
  write_text(dir.file("model.safetensors.index.json"), index.dump());
  write_safetensors(dir.file("weights.safetensors"), weights);
  write_safetensors(dir.file("tables.safetensors"), tables);
}

std::map<std::string, std::vector<std::byte>> files_of(const TempDir& dir) {
  std::map<std::string, std::vector<std::byte>> files;
  for (const auto& entry : fs::directory_iterator(dir.path())) {
    files[entry.path().filename().string()] = read_file(entry.path().string());
  }
  return files;
}

/// All of the folder but its tables is as it was made.
void check_others(const TempDir& dir, const std::string& prefix, DType dtype) {
  const ModelFiles files(dir.path().string(), 2);
  int64_t compared = 0;
  for (const auto& [name, tensor] : small_tensors(dtype, prefix)) {
    const bool is_table = name.ends_with("tid2eid");
    const auto place = files.find(name.substr(prefix.size()));
    if (is_table || !place) continue;
    CHECK(std::ranges::equal(place->file->read(name).bytes, tensor.bytes));
    ++compared;
  }
  CHECK(compared > 20);
}

void use_spread(const TempDir& dir) {
  nlohmann::json config = nlohmann::json::parse(small_config_json());
  config["hashep"]["spread"] = true;
  write_text(dir.file("config.json"), config.dump());
}

RoutingTable spread_table(uint64_t layer) {
  RoutingTable table = kNew;
  table.spread =
      SpreadRows{.ids = {0, 6}, .offsets = {0, 2, 3}, .experts = {2, 0, 1, 0, 1, 2}, .seed = layer};
  return table;
}

TEST_CASE("a table takes the place of a model's, which keeps all else") {
  for (const std::string prefix : {"", "model."}) {
    for (const bool is_indexed : {false, true}) {
      const TempDir dir;
      if (is_indexed) {
        write_indexed_model(dir, prefix);
      } else {
        write_small_model(dir, small_tensors(DType::bf16, prefix));
      }
      const auto before = files_of(dir);
      insert_model_tables(dir.path().string(), {{1, kNew}}, {});
      TableSet set = load_model_tables(dir.path().string());
      REQUIRE(set.tables.size() == 2);
      CHECK(set.tables[0].table == kOld);
      CHECK(set.tables[1].table == kNew);
      CHECK(set.dtype == DType::i64);
      CHECK(ModelFolder(dir.path().string()).table(1) == kNew);
      check_others(dir, prefix, DType::bf16);
      CHECK(files_of(dir).size() == before.size());

      insert_model_tables(dir.path().string(), {{0, kNew}, {1, kNew}}, DType::i32);
      set = load_model_tables(dir.path().string());
      CHECK(set.tables[0].table == kNew);
      CHECK(set.dtype == DType::i32);

      insert_model_tables(dir.path().string(), {{0, kOld}, {1, kOld}}, DType::i64);
      check_others(dir, prefix, DType::bf16);
      if (is_indexed) {
        CHECK(files_of(dir).at("weights.safetensors") == before.at("weights.safetensors"));
        // The round trip is bit-identical, headers (a map in order of names) included.
        CHECK(files_of(dir).at("tables.safetensors") == before.at("tables.safetensors"));
        CHECK(files_of(dir).at("model.safetensors.index.json") ==
              before.at("model.safetensors.index.json"));
      }
    }
  }
}

TEST_CASE("spread rows come and go with a table, and the index follows") {
  for (const bool is_indexed : {false, true}) {
    const TempDir dir;
    if (is_indexed) {
      write_indexed_model(dir, "model.");
    } else {
      write_small_model(dir, small_tensors(DType::f32, "model."));
    }
    const std::string folder = dir.path().string();
    CHECK_THROWS_WITH(insert_model_tables(folder, {{0, spread_table(0)}}, {}),
                      ContainsSubstring("has spread rows, but the model was trained without"));
    use_spread(dir);
    CHECK_THROWS_WITH(insert_model_tables(folder, {{0, kNew}}, {}),
                      ContainsSubstring("has no spread rows"));
    insert_model_tables(folder, {{0, spread_table(0)}, {1, spread_table(1)}}, {});
    CHECK(load_model_tables(folder).tables[1].table == spread_table(1));
    CHECK(ModelFolder(folder).table(0) == spread_table(0));

    write_text(dir.file("config.json"), small_config_json());
    insert_model_tables(folder, {{0, kOld}, {1, kOld}}, {});
    CHECK(load_model_tables(folder).tables[1].table == kOld);
    CHECK_FALSE(ModelFiles(folder, 2).find("layers.0.ffn.gate.spread_ids").has_value());
  }
}

TEST_CASE("a layer that had no table gets one, in a file of its own") {
  for (const bool is_indexed : {false, true}) {
    const TempDir dir;
    if (is_indexed) {
      write_indexed_model(dir, "model.");
      fs::remove(dir.file("tables.safetensors"));
      auto index = nlohmann::json::parse(small_config_json());
      for (const auto& [name, tensor] : small_tensors(DType::bf16, "model.")) {
        if (!name.ends_with("tid2eid")) index["weight_map"][name] = "weights.safetensors";
      }
      write_text(dir.file("model.safetensors.index.json"), index.dump());
    } else {
      Tensors tensors = small_tensors(DType::bf16, "model.");
      for (const std::string layer : {"0", "1"}) {
        REQUIRE(tensors.erase("model.layers." + layer + ".ffn.gate.tid2eid") == 1);
      }
      write_small_model(dir, tensors);
    }
    const std::string folder = dir.path().string();
    insert_model_tables(folder, {{0, kNew}}, {});
    insert_model_tables(folder, {{1, kOld}}, DType::i64);
    const ModelFolder model(folder);
    CHECK(model.table(0) == kNew);
    CHECK(model.table(1) == kOld);
    CHECK(fs::exists(dir.file("tid2eid.safetensors")));
    CHECK(ModelFiles(folder, 2).at("layers.1.ffn.gate.tid2eid").name ==
          "model.layers.1.ffn.gate.tid2eid");
  }
}

TEST_CASE("a table that does not fit is refused, and leaves the folder as it was") {
  const TempDir dir;
  write_indexed_model(dir, "");
  const std::string folder = dir.path().string();
  const auto before = files_of(dir);
  const auto error_of = [&](int64_t layer, const RoutingTable& table) -> std::string {
    try {
      insert_model_tables(folder, {{0, kNew}, {layer, table}}, {});
    } catch (const InputError& error) {
      return error.what();
    }
    return "no error";
  };
  CHECK_THAT(error_of(2, kNew), ContainsSubstring("layer 2 is not one of the 2 hash-routed"));
  CHECK_THAT(
      error_of(1, {6, 2, {0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1}}),
      ContainsSubstring("layer 1") && ContainsSubstring("is [6, 2], config.json wants [7, 2]"));
  CHECK_THAT(error_of(1, {7, 1, {0, 1, 0, 1, 0, 1, 0}}), ContainsSubstring("is [7, 1]"));
  RoutingTable outside = kNew;
  outside.experts[13] = 3;
  CHECK_THAT(error_of(1, outside), ContainsSubstring("row 6 has expert 3, outside [0, 3)"));
  outside.experts[13] = 1;
  CHECK_THAT(error_of(1, outside), ContainsSubstring("row 6 repeats expert 1"));
  CHECK(files_of(dir) == before);
  nlohmann::json config = nlohmann::json::parse(small_config_json());
  config["hashep"] = {{"router", "bigram"}};
  write_text(dir.file("config.json"), config.dump());
  CHECK_THAT(error_of(1, kNew), ContainsSubstring("the model's router is bigram"));
  CHECK_THROWS_AS(insert_model_tables(dir.file("none"), {{0, kNew}}, {}), InputError);
}

TEST_CASE("links into a store of files are replaced, and the store stays as it is") {
  const TempDir store;
  const TempDir dir;
  write_indexed_model(store, "");
  for (const auto& entry : fs::directory_iterator(store.path())) {
    fs::create_symlink(entry.path(), dir.file(entry.path().filename().string()));
  }
  const std::string index = "model.safetensors.index.json";
  nlohmann::json edited = nlohmann::json::parse(read_text_file(store.file(index)));
  edited["weight_map"].erase("layers.1.ffn.gate.tid2eid");  // so that the index changes, too
  write_text(store.file(index), edited.dump());
  Tensors tables = small_tensors(DType::bf16, "");
  std::erase_if(tables, [](const auto& item) { return item.first != "layers.0.ffn.gate.tid2eid"; });
  write_safetensors(store.file("tables.safetensors"), tables);
  const auto shared = files_of(store);

  insert_model_tables(dir.path().string(), {{0, kNew}, {1, kNew}}, {});
  CHECK(files_of(store) == shared);
  CHECK(fs::is_symlink(dir.file("weights.safetensors")));
  CHECK(fs::is_symlink(dir.file("config.json")));
  CHECK_FALSE(fs::is_symlink(dir.file("tables.safetensors")));
  CHECK_FALSE(fs::is_symlink(dir.file(index)));
  CHECK(load_model_tables(dir.path().string()).tables.at(1).table == kNew);
}

TEST_CASE("edited files keep metadata and tensors of unknown dtypes") {
  const TempDir dir;
  const std::string path = dir.file("out.safetensors");
  const std::string json =
      R"({"__metadata__":{"k":"v"},"b":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,3]},)"
      R"("a":{"dtype":"I32","shape":[1],"data_offsets":[3,7]},)"
      R"("c":{"dtype":"U8","shape":[2],"data_offsets":[7,9]}})";
  const std::string whole = pad_safetensors_header(json) + "xyz" + "1234" + "56";
  write_text(dir.file("in.safetensors"), whole);
  const SafeTensorsFile old(dir.file("in.safetensors"));
  AtomicFile out(path);
  write_edited_safetensors(&old,
                           {{"a", TensorContents{DType::i64, {1}, std::vector<std::byte>(8)}},
                            {"c", std::nullopt},
                            {"d", TensorContents{DType::i32, {0}, {}}}},
                           out);
  out.commit();
  const std::vector<std::byte> bytes = read_file(path);
  const SafeTensors edited = parse_safetensors(bytes, std::ssize(bytes), path);
  CHECK(edited.metadata.at("k") == "v");
  REQUIRE(edited.skipped.size() == 1);
  CHECK(edited.skipped.at("b").dtype == "F8_E4M3");
  CHECK(edited.skipped.at("b").shape == std::vector<int64_t>{3});
  CHECK(edited.tensors.size() == 2);
  CHECK(edited.tensors.at("a").dtype == DType::i64);
  CHECK(edited.tensors.at("d").num_elements() == 0);
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  CHECK(text.ends_with("xyz" + std::string(8, '\0')));
}

}  // namespace
}  // namespace hashep::test
