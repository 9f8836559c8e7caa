// SPDX-License-Identifier: Apache-2.0
#include "runtime/routing/table_set.hpp"

#include "core/input_file.hpp"
#include "core/npy.hpp"
#include "hashep/error.hpp"
#include "hashep/table_router.hpp"
#include "runtime/routing/table_builder.hpp"
#include "tests/runtime/routing/test_files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/tensor_files.hpp"

namespace hashep::test {
namespace {

TEST_CASE("a table's name tells its layer") {
  CHECK(layer_of_table("layers.12.ffn.gate.tid2eid") == 12);
  CHECK(layer_of_table("model.layers.0.ffn.gate.tid2eid") == 0);
  for (const std::string name :
       {"tid2eid", "layers..ffn.gate.tid2eid", "layers.-1.ffn.gate.tid2eid",
        "layers.1.ffn.gate.weight", "x.layers.1.ffn.gate.tid2eid"}) {
    CHECK_FALSE(layer_of_table(name).has_value());
  }
}

TEST_CASE("all tables of a file are read, in the order of their layers, and nothing else") {
  const TempDir dir;
  const std::string path = dir.file("t.safetensors");
  std::vector<NamedTable> tables;
  for (const int64_t layer : {2, 10}) {
    tables.push_back({layer_table_name(layer), build_random_table(5, 8, 2, 3)});
  }
  tables[1].table.spread = SpreadRows{.ids = {}, .offsets = {0}, .experts = {}, .seed = 10};
  save_tables(path, tables, {{"method", "random"}}, DType::i64);
  const TableSet set = load_tables(path, 8);
  REQUIRE(set.tables.size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    CHECK(set.tables[i].name == tables[i].name);
    CHECK(set.tables[i].table == tables[i].table);
  }
  CHECK(set.dtype == DType::i64);
  CHECK(set.metadata.at("method") == "random");
  CHECK_THROWS_AS(load_tables(path, 2), InputError);
  CHECK(load_tables(path, kManyExperts).tables[0].table == tables[0].table);
  write_safetensors(path, {{"a", float_tensor(DType::f32, {1, 1}, std::vector<float>{0})}});
  CHECK_THROWS_WITH(load_tables(path, 8), path + ": no 2-D tensor of I32 or I64 to be a table");
  CHECK_THROWS_AS(load_tables(dir.file("t.txt"), 8), InputError);
}

TEST_CASE("a table is saved as .npy of i32 or i64, and read back with its type") {
  const TempDir dir;
  const std::string path = dir.file("t.npy");
  RoutingTable table = build_random_table(9, 300, 4, 1);
  for (const DType dtype : {DType::i32, DType::i64}) {
    save_npy_table(path, table, dtype);
    const std::vector<std::byte> bytes = read_file(path);
    const NpyArray array = parse_npy(bytes, path);
    CHECK(array.item_size == dtype_size(dtype));
    CHECK(array.shape == std::vector<int64_t>{9, 4});
    CHECK(array.integer_at(35) == table.experts[35]);
    const TableSet set = load_tables(path, 300);
    CHECK(set.tables.at(0).table == table);
    CHECK(set.dtype == dtype);
  }
  write_bytes(path, npy_bytes("|u1", "(2, 1)", std::string("\x00\xff", 2)));
  CHECK(load_tables(path, 300).dtype == DType::i32);
  write_bytes(path, npy_bytes("<u4", "(1, 1)", std::string(4, '\0')));
  CHECK(load_tables(path, 300).dtype == DType::i64);
  table.spread = SpreadRows{.ids = {}, .offsets = {0}, .experts = {}};
  CHECK_THROWS_WITH(save_npy_table(path, table, DType::i32),
                    ContainsSubstring("cannot hold spread rows"));
}

TEST_CASE("least_num_experts looks at all rows") {
  RoutingTable table{2, 1, {3, 5}};
  CHECK(least_num_experts(table) == 6);
  table.spread = SpreadRows{.ids = {0}, .offsets = {0, 2}, .experts = {3, 9}};
  CHECK(least_num_experts(table) == 10);
}

}  // namespace
}  // namespace hashep::test
