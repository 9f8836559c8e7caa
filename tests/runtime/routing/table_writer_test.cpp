// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <random>

#include "core/safetensors.hpp"
#include "hashep/error.hpp"
#include "runtime/routing/table_builder.hpp"
#include "runtime/routing/table_writer.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

namespace hashep::test {
namespace {

TEST_CASE("saved tables are read back as they were, with their metadata") {
  const TempDir dir;
  const std::string path = dir.file("t.safetensors");
  std::mt19937_64 random(21);
  for (const DType dtype : {DType::i32, DType::i64}) {
    const auto vocab_size = static_cast<int64_t>(1 + random() % 300);
    const RoutingTable first = build_random_table(vocab_size, 16, 6, random());
    const RoutingTable second = build_random_table(vocab_size + 1, 16, 3, random());
    const std::map<std::string, std::string> metadata = {{"method", "random"}, {"seed", "21"}};

    const std::vector<NamedTable> one = {{"tid2eid", first}};
    save_tables(path, one, metadata, dtype);
    CHECK(load_table(path, "", 16) == first);
    CHECK(load_layer_table(path, 5, 16) == first);

    // The order of the names in JSON is not that of the tables: the bytes must follow the latter.
    const std::vector<NamedTable> layers = {{layer_table_name(10), first},
                                            {layer_table_name(2), second}};
    save_tables(path, layers, metadata, dtype);
    CHECK(load_layer_table(path, 10, 16) == first);
    CHECK(load_layer_table(path, 2, 16) == second);
    const SafeTensorsFile file(path);
    CHECK(file.contents().metadata == metadata);
    CHECK(file.at(layer_table_name(2)).dtype == dtype);
    CHECK(file.contents().tensors.size() == 2);
  }
}

TEST_CASE("a table is saved as i32 or i64, where it can be, or nothing is left") {
  const TempDir dir;
  const std::vector<NamedTable> one = {{"tid2eid", {1, 1, {0}}}};
  CHECK_THROWS_AS(save_tables(dir.file("t.safetensors"), one, {}, DType::f32), RunError);
  CHECK_FALSE(std::filesystem::exists(dir.file("t.safetensors")));
  CHECK_THROWS_AS(save_tables(dir.file("no/t.safetensors"), one, {}, DType::i32), InputError);
}

}  // namespace
}  // namespace hashep::test
