// SPDX-License-Identifier: Apache-2.0
#include "hashep/spread_rows.hpp"

#include <random>

#include "core/safetensors.hpp"
#include "hashep/error.hpp"
#include "hashep/table_router.hpp"
#include "runtime/routing/spread_tensors.hpp"
#include "runtime/routing/table_builder.hpp"
#include "runtime/routing/table_writer.hpp"
#include "runtime/tokens/token_stream.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/tensor_files.hpp"

namespace hashep::test {
namespace {

struct KnownRow {
  int64_t position;
  uint64_t seed;
  int64_t num_rows;
  int64_t row;
};

/// From tests/reference/hash_router_reference.py.
constexpr KnownRow kKnownRows[] = {
    {0, 0u, 1, 0},
    {0, 0u, 2, 1},
    {0, 1u, 3, 0},
    {0, 2u, 8, 1},
    {0, 60u, 1000, 868},
    {0, 18446744073709551615u, 7, 6},
    {1, 0u, 1, 0},
    {1, 0u, 2, 1},
    {1, 1u, 3, 0},
    {1, 2u, 8, 1},
    {1, 60u, 1000, 187},
    {1, 18446744073709551615u, 7, 5},
    {2, 0u, 1, 0},
    {2, 0u, 2, 0},
    {2, 1u, 3, 2},
    {2, 2u, 8, 5},
    {2, 60u, 1000, 130},
    {2, 18446744073709551615u, 7, 2},
    {7, 0u, 1, 0},
    {7, 0u, 2, 1},
    {7, 1u, 3, 1},
    {7, 2u, 8, 5},
    {7, 60u, 1000, 136},
    {7, 18446744073709551615u, 7, 1},
    {1023, 0u, 1, 0},
    {1023, 0u, 2, 1},
    {1023, 1u, 3, 0},
    {1023, 2u, 8, 0},
    {1023, 60u, 1000, 310},
    {1023, 18446744073709551615u, 7, 2},
    {4096, 0u, 1, 0},
    {4096, 0u, 2, 1},
    {4096, 1u, 3, 0},
    {4096, 2u, 8, 3},
    {4096, 60u, 1000, 880},
    {4096, 18446744073709551615u, 7, 5},
    {131071, 0u, 1, 0},
    {131071, 0u, 2, 0},
    {131071, 1u, 3, 0},
    {131071, 2u, 8, 0},
    {131071, 60u, 1000, 923},
    {131071, 18446744073709551615u, 7, 3},
    {1099511627776, 0u, 1, 0},
    {1099511627776, 0u, 2, 1},
    {1099511627776, 1u, 3, 0},
    {1099511627776, 2u, 8, 4},
    {1099511627776, 60u, 1000, 693},
    {1099511627776, 18446744073709551615u, 7, 5},
};

/// A random table of which ids 0, 3, 6, ... have 1 to 5 rows.
RoutingTable spread_table(int64_t vocab_size, int64_t num_experts, int top_k, uint64_t seed) {
  std::mt19937_64 random(seed);
  RoutingTable table = build_random_table(vocab_size, num_experts, top_k, seed);
  const RoutingTable more = build_random_table(5 * vocab_size, num_experts, top_k, seed + 1);
  SpreadRows& spread = table.spread.emplace();
  spread.offsets = {0};
  auto unused = more.experts.begin();
  for (int32_t id = 0; id < vocab_size; id += 3) {
    const auto row = table.experts.begin() + int64_t{id} * top_k;
    spread.ids.push_back(id);
    spread.experts.insert(spread.experts.end(), row, row + top_k);
    const auto further = static_cast<int64_t>(random() % 5);
    spread.experts.insert(spread.experts.end(), unused, unused + further * top_k);
    unused += further * top_k;
    spread.offsets.push_back(spread.offsets.back() + 1 + further);
  }
  validate_table(table, num_experts, "spread table");
  return table;
}

TEST_CASE("the row of a spread id is known from elsewhere") {
  for (const KnownRow& known : kKnownRows) {
    CAPTURE(known.position, known.seed, known.num_rows);
    CHECK(spread_row(known.position, known.seed, known.num_rows) == known.row);
  }
}

TEST_CASE("a table router takes a spread id's row by position, and any other's from the table") {
  constexpr int64_t kVocab = 30;
  std::mt19937_64 random(5);
  for (const int top_k : {1, 2, 3, 6}) {
    RoutingTable table = spread_table(kVocab, 16, top_k, random());
    table.spread->seed = random();
    const TableRouter router({table}, 16);
    const RoutedLayer layer{0, 16, top_k};
    StreamBatch batch{{}, static_cast<int64_t>(random() % 1000), -1, 37};
    for (int i = 0; i < 500; ++i) {
      batch.ids.push_back(static_cast<int32_t>(random() % (kVocab + 1)) - 1);
    }
    std::vector<int32_t> experts(batch.ids.size() * static_cast<size_t>(top_k));
    router.route(batch.view(), layer, experts);

    int64_t num_further = 0;  // tokens that took a row other than their first
    std::vector<int32_t> expected;
    for (int64_t i = 0; i < std::ssize(batch.ids); ++i) {
      const int32_t id = batch.ids[i];
      for (int choice = 0; choice < top_k; ++choice) {
        if (id == kPaddingId) {
          expected.push_back(-1);
        } else if (id % 3 != 0) {
          expected.push_back(table.experts[id * top_k + choice]);
        } else {
          const auto place = static_cast<size_t>(id / 3);
          const int64_t first = table.spread->offsets[place];
          const int64_t row = spread_row((batch.first_position + i) % 37, table.spread->seed,
                                         table.spread->offsets[place + 1] - first);
          num_further += row > 0 ? 1 : 0;
          expected.push_back(table.spread->experts[(first + row) * top_k + choice]);
        }
      }
    }
    CAPTURE(top_k);
    CHECK(num_further > 0);
    CHECK(experts == expected);

    batch.ids[77] = static_cast<int32_t>(kVocab);
    CHECK_THROWS_WITH(
        router.route(batch.view(), layer, experts),
        "token " + std::to_string(batch.first_position + 77) + " has id 30, outside [0, 30)");
  }
}

TEST_CASE("spread rows are saved and read with their table, seeded by the layer") {
  const TempDir dir;
  const std::string path = dir.file("t.safetensors");
  for (const DType dtype : {DType::i32, DType::i64}) {
    RoutingTable table = spread_table(11, 9, 3, 8);
    save_tables(path, std::vector<NamedTable>{{"tid2eid", table}}, {}, dtype);
    CHECK(load_table(path, "", 9) == table);
    table.spread->seed = 4;
    CHECK(load_layer_table(path, 4, 9) == table);

    RoutingTable other = spread_table(11, 9, 3, 9);
    other.spread->seed = 2;
    save_tables(path,
                std::vector<NamedTable>{{layer_table_name(4), table}, {layer_table_name(2), other}},
                {}, dtype);
    CHECK(load_layer_table(path, 4, 9) == table);
    CHECK(load_layer_table(path, 2, 9) == other);
  }
  // None of the ids is hot: the table still says that it was built to be spread.
  RoutingTable empty = build_random_table(4, 9, 3, 1);
  empty.spread = SpreadRows{.ids = {}, .offsets = {0}, .experts = {}};
  save_tables(path, std::vector<NamedTable>{{"tid2eid", empty}}, {}, DType::i32);
  CHECK(load_table(path, "", 9) == empty);
}

TEST_CASE("validate_table names what is wrong with spread rows") {
  const auto message = [](auto&& spoil) -> std::string {
    RoutingTable table{4, 2, {0, 1, 2, 3, 3, 0, 1, 2}};
    table.spread =
        SpreadRows{.ids = {1, 3}, .offsets = {0, 2, 5}, .experts = {2, 3, 0, 1, 1, 2, 3, 0, 2, 3}};
    validate_table(table, 4, "t");
    spoil(table);
    try {
      validate_table(table, 4, "t");
    } catch (const InputError& error) {
      return error.what();
    }
    return "passed";
  };
  CHECK(message([](RoutingTable& t) {
          t.spread->ids = {3, 1};
        }) == "t: spread id 1 after 3, expected ids to ascend in [0, 4)");
  CHECK(message([](RoutingTable& t) {
          t.spread->ids = {1, 1};
        }) == "t: spread id 1 after 1, expected ids to ascend in [0, 4)");
  CHECK(message([](RoutingTable& t) {
          t.spread->ids = {1, 4};
        }) == "t: spread id 4 after 1, expected ids to ascend in [0, 4)");
  CHECK(message([](RoutingTable& t) {
          t.spread->ids = {-1, 1};
        }) == "t: spread id -1 after -1, expected ids to ascend in [0, 4)");
  CHECK(message([](RoutingTable& t) { t.spread->ids = {1}; }) ==
        "t: 3 spread offsets for 1 ids, expected one more than ids");
  CHECK(message([](RoutingTable& t) {
          t.spread->offsets = {0, 2, 6};
        }) == "t: spread offsets go from 0 to 6, expected 0 to 5, the number of spread rows");
  CHECK(message([](RoutingTable& t) {
          t.spread->offsets = {1, 2, 5};
        }) == "t: spread offsets go from 1 to 5, expected 0 to 5, the number of spread rows");
  CHECK(message([](RoutingTable& t) {
          t.spread->offsets = {0, 5, 5};
        }) == "t: spread id 3 has no row");
  CHECK(message([](RoutingTable& t) {
          t.spread->offsets = {0, 7, 5};
        }) == "t: spread id 3 has no row");
  CHECK(message([](RoutingTable& t) { t.spread->experts[2] = 4; }) ==
        "t: spread row 1 has expert 4, outside [0, 4)");
  CHECK(message([](RoutingTable& t) { t.spread->experts[7] = 3; }) ==
        "t: spread row 3 repeats expert 3");
  CHECK(message([](RoutingTable& t) { t.spread->experts[4] = 0; }) ==
        "t: the first spread row of id 3 is not its row in tid2eid");
  CHECK(message([](RoutingTable& t) { t.spread->experts.pop_back(); }) ==
        "t: spread offsets go from 0 to 5, expected 0 to 4, the number of spread rows");
}

TEST_CASE("a file with some of the tensors of spread rows is refused, whatever they hold") {
  const TempDir dir;
  const std::string path = dir.file("t.safetensors");
  const std::map<std::string, TensorData> whole = {
      {"a.tid2eid", integer_tensor(DType::i32, {3, 1}, std::vector<int64_t>{0, 1, 2})},
      {"a.spread_ids", integer_tensor(DType::i32, {1}, std::vector<int64_t>{1})},
      {"a.spread_offsets", integer_tensor(DType::i64, {2}, std::vector<int64_t>{0, 2})},
      {"a.spread_rows", integer_tensor(DType::i32, {2, 1}, std::vector<int64_t>{1, 2})}};
  write_safetensors(path, whole);
  CHECK(load_table(path, "", 3).spread->experts == std::vector<int32_t>{1, 2});
  CHECK(load_table(path, "a.tid2eid", 3).spread->ids == std::vector<int32_t>{1});
  for (const std::string name : {"spread_ids", "spread_offsets", "spread_rows"}) {
    auto part = whole;
    part.erase("a." + name);
    write_safetensors(path, part);
    CHECK_THROWS_WITH(load_table(path, "", 3),
                      path + ": \"a.tid2eid\": spread rows without the tensor " + name);
    part["a." + name] = float_tensor(DType::f32, {2, 1}, std::vector<float>{0, 1});
    write_safetensors(path, part);
    CHECK_THROWS_AS(load_table(path, "", 3), InputError);
    part["a." + name] = integer_tensor(DType::i32, {1, 1, 2}, std::vector<int64_t>{0, 1});
    write_safetensors(path, part);
    CHECK_THROWS_WITH(load_table(path, "", 3), ContainsSubstring("3 dimensions, expected"));
  }
  auto wide = whole;
  wide["a.spread_rows"] = integer_tensor(DType::i32, {1, 2}, std::vector<int64_t>{1, 2});
  write_safetensors(path, wide);
  CHECK_THROWS_WITH(load_table(path, "", 3),
                    ContainsSubstring("spread_rows have 2 experts, the table has 1"));
  auto large = whole;
  large["a.spread_ids"] = integer_tensor(DType::i64, {1}, std::vector<int64_t>{(1LL << 32) + 1});
  write_safetensors(path, large);
  CHECK_THROWS_WITH(load_table(path, "", 3), ContainsSubstring("4294967297 does not fit int32"));
}

}  // namespace
}  // namespace hashep::test
