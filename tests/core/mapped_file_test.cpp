// SPDX-License-Identifier: Apache-2.0
#include "core/mapped_file.hpp"

#include <sys/stat.h>

#include <utility>

#include "core/atomic_file.hpp"
#include "core/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

using namespace hashep;
using test::TempDir;

TEST_CASE("a mapped file shows its bytes and survives a move") {
  const TempDir dir;
  write_file_atomically(dir.file("a"), "abc");
  MappedFile first(dir.file("a"));
  const std::byte* place = first.bytes().data();
  MappedFile second(std::move(first));
  REQUIRE(second.bytes().size() == 3);
  CHECK(second.bytes().data() == place);
  CHECK(second.bytes()[2] == static_cast<std::byte>('c'));
  CHECK(second.path() == dir.file("a"));

  write_file_atomically(dir.file("b"), "");
  MappedFile third(dir.file("b"));
  CHECK(third.bytes().empty());
  third = std::move(second);
  CHECK(third.bytes().size() == 3);
}

TEST_CASE("what is no readable file is an input error with its name") {
  const TempDir dir;
  CHECK_THROWS_AS(MappedFile(dir.file("missing")), InputError);
  CHECK_THROWS_WITH(MappedFile(dir.file("missing")),
                    ContainsSubstring("missing") && ContainsSubstring("No such file"));
  CHECK_THROWS_WITH(MappedFile(dir.path().string()), ContainsSubstring("not a regular file"));
  REQUIRE(mkfifo(dir.file("pipe").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(MappedFile(dir.file("pipe")), ContainsSubstring("not a regular file"));
}
