// SPDX-License-Identifier: Apache-2.0
#include "runtime/routing/table_file.hpp"
#include "core/safetensors.hpp"
#include "hashep/error.hpp"
#include "hashep/routing_table.hpp"
#include "tests/runtime/routing/test_files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

namespace hashep::test {
namespace {

const RoutingTable kTable{3, 2, {0, 1, 2, 3, 3, 0}};

template <typename T>
std::string table_bytes() {
  return bytes_of(std::vector<T>(kTable.experts.begin(), kTable.experts.end()));
}

TEST_CASE("tables are read from .npy of any integer type") {
  const TempDir dir;
  const std::string path = dir.file("t.npy");
  const auto read = [&](const std::string& descr, const std::string& data) {
    write_bytes(path, npy_bytes(descr, "(3, 2)", data, 1));
    return load_table(path, "", 4);
  };
  CHECK(read("<i4", table_bytes<int32_t>()) == kTable);
  CHECK(read("<i8", table_bytes<int64_t>()) == kTable);
  CHECK(read("<u2", table_bytes<uint16_t>()) == kTable);
  CHECK_THROWS_WITH(read("<f4", table_bytes<float>()), ContainsSubstring("floating point"));
  CHECK_THROWS_AS(read("<f4", table_bytes<float>()), InputError);
}

TEST_CASE("tables are read from .safetensors, by name or as the only candidate") {
  const TempDir dir;
  const std::string path = dir.file("t.safetensors");
  const std::string one = R"("a":{"dtype":"I32","shape":[3,2],"data_offsets":[0,24]})";
  const std::string two = R"("b":{"dtype":"I64","shape":[3,2],"data_offsets":[24,72]})";
  const std::string rest = R"("c":{"dtype":"F32","shape":[3,2],"data_offsets":[72,96]})";
  const std::string data = table_bytes<int32_t>() + table_bytes<int64_t>() + table_bytes<float>();

  write_bytes(path, safetensors_bytes("{" + one + "," + two + "," + rest + "}", data));
  CHECK(load_table(path, "a", 4) == kTable);
  CHECK(load_table(path, "b", 4) == kTable);
  CHECK_THROWS_WITH(load_table(path, "", 4), ContainsSubstring("could be the table (\"a\", \"b\""));
  CHECK_THROWS_WITH(load_table(path, "c", 4), ContainsSubstring("found fp32"));
  CHECK_THROWS_WITH(load_table(path, "x", 4), ContainsSubstring("\"x\""));

  write_bytes(path, safetensors_bytes("{" + one + "}", table_bytes<int32_t>()));
  CHECK(load_table(path, "", 4) == kTable);
  CHECK_THROWS_WITH(load_table(path, "", 3), path + ": \"a\": row 1 has expert 3, outside [0, 3)");

  write_bytes(path, safetensors_bytes("{}", ""));
  CHECK_THROWS_WITH(load_table(path, "", 4), ContainsSubstring("no 2-D tensor"));
}

TEST_CASE("a file may hold a table for each layer, by DeepSeek-V4's names, or one for all") {
  const TempDir dir;
  const std::string path = dir.file("t.safetensors");
  const RoutingTable second{3, 2, {3, 2, 1, 0, 0, 1}};
  const std::string header =
      R"({"layers.0.ffn.gate.tid2eid":{"dtype":"I32","shape":[3,2],"data_offsets":[0,24]},)"
      R"("model.layers.1.ffn.gate.tid2eid":{"dtype":"I32","shape":[3,2],"data_offsets":[24,48]}})";
  write_bytes(path, safetensors_bytes(header, table_bytes<int32_t>() + bytes_of(second.experts)));
  CHECK(load_layer_table(path, 0, 4) == kTable);
  CHECK(load_layer_table(path, 1, 4) == second);
  CHECK_THROWS_WITH(load_layer_table(path, 2, 4), ContainsSubstring("could be the table"));

  const std::string one = R"({"t":{"dtype":"I32","shape":[3,2],"data_offsets":[0,24]}})";
  write_bytes(path, safetensors_bytes(one, table_bytes<int32_t>()));
  CHECK(load_layer_table(path, 0, 4) == kTable);
  CHECK(load_layer_table(path, 5, 4) == kTable);
}

TEST_CASE("a table is read from a tensor, and checked") {
  const auto table_of = [](DType dtype, const std::vector<int64_t>& shape,
                           const std::string& data) {
    const auto bytes = std::as_bytes(std::span(data));
    return table_from_tensor({dtype, shape, {bytes.begin(), bytes.end()}}, 4, "file");
  };
  CHECK(table_of(DType::i32, {3, 2}, table_bytes<int32_t>()) == kTable);
  CHECK(table_of(DType::i64, {3, 2}, table_bytes<int64_t>()) == kTable);
  CHECK_THROWS_WITH(table_of(DType::i64, {6}, table_bytes<int64_t>()),
                    "file: shape [6], expected a table [vocab_size, top_k]");
  CHECK_THROWS_WITH(
      table_of(DType::i64, {1, 6}, table_bytes<int64_t>()),
      ContainsSubstring("shape [1, 6], expected [vocab_size, top_k] with 1 <= top_k"));
  CHECK_THROWS_AS(table_of(DType::i64, {0, 2}, ""), InputError);
  CHECK_THROWS_AS(table_of(DType::i64, {3, 0}, ""), InputError);
  CHECK_THROWS_WITH(table_of(DType::i32, {3, 1}, bytes_of(std::vector<int32_t>{0, -1, 2})),
                    "file: row 1 has expert -1, outside [0, 4)");
  CHECK_THROWS_WITH(table_of(DType::i32, {2, 2}, bytes_of(std::vector<int32_t>{0, 1, 2, 2})),
                    "file: row 1 repeats expert 2");
  // 2^32 + 1 would be expert 1 if it were cut to 32 bits.
  const std::vector<int64_t> wide = {0, (int64_t{1} << 32) + 1};
  CHECK_THROWS_WITH(table_of(DType::i64, {2, 1}, bytes_of(wide)),
                    "file: row 1 has expert 4294967297, outside [0, 4)");
}

TEST_CASE("files that are no tables are refused") {
  const TempDir dir;
  CHECK_THROWS_AS(load_table(dir.file("missing.npy"), "", 4), InputError);
  write_bytes(dir.file("t.txt"), "0 1");
  CHECK_THROWS_WITH(load_table(dir.file("t.txt"), "", 4),
                    ContainsSubstring(".safetensors or .npy"));
  write_bytes(dir.file("t.npy"), npy_bytes("<i4", "(6,)", table_bytes<int32_t>()));
  CHECK_THROWS_WITH(load_table(dir.file("t.npy"), "", 4), ContainsSubstring("shape [6]"));
  write_bytes(dir.file("t.npy"), npy_bytes("<u8", "(1, 1)", std::string(8, '\xff')));
  CHECK_THROWS_WITH(
      load_table(dir.file("t.npy"), "", 4),
      dir.file("t.npy") + ": the integer 18446744073709551615 does not fit 64 signed bits");
}

}  // namespace
}  // namespace hashep::test
