// SPDX-License-Identifier: Apache-2.0
#include "core/input_file.hpp"

#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <utility>

#include "core/atomic_file.hpp"
#include "hashep/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

using namespace hashep;
using test::TempDir;

TEST_CASE("an input file gives its bytes and survives a move") {
  const TempDir dir;
  write_file_atomically(dir.file("a"), "abcdef");
  InputFile first(dir.file("a"));
  InputFile second(std::move(first));
  CHECK(second.path() == dir.file("a"));
  REQUIRE(second.size() == 6);
  std::array<std::byte, 2> part = {};
  second.read(3, part);
  CHECK(part == std::array{std::byte{'d'}, std::byte{'e'}});
  CHECK(second.read_all().size() == 6);
  CHECK(read_text_file(dir.file("a")) == "abcdef");

  write_file_atomically(dir.file("b"), "");
  InputFile third(dir.file("b"));
  CHECK(third.read_all().empty());
  third = std::move(second);
  CHECK(third.size() == 6);
}

TEST_CASE("a file that shrinks while it is read is an input error with its name") {
  const TempDir dir;
  write_file_atomically(dir.file("a"), std::string(100'000, 'x'));
  const InputFile file(dir.file("a"));
  std::filesystem::resize_file(dir.file("a"), 50);
  CHECK_THROWS_AS(file.read_all(), InputError);
  CHECK_THROWS_WITH(file.read_all(),
                    ContainsSubstring(dir.file("a")) && ContainsSubstring("ends at byte 50"));
}

TEST_CASE("a file that is written to after it was opened is told of; its other changes are not") {
  const TempDir dir;
  const std::string path = dir.file("a");
  write_file_atomically(path, "abc");
  InputFile moved(path);
  const InputFile file(std::move(moved));
  CHECK_NOTHROW(file.require_unchanged());
  std::filesystem::permissions(path, std::filesystem::perms::owner_read);
  std::filesystem::rename(path, dir.file("b"));
  CHECK_NOTHROW(file.require_unchanged());
  std::filesystem::last_write_time(dir.file("b"), std::filesystem::file_time_type());
  CHECK_THROWS_AS(file.require_unchanged(), InputError);
  CHECK_THROWS_WITH(file.require_unchanged(), path + ": was changed while it was read");
}

TEST_CASE("a path that is no readable file is an input error with its name") {
  const TempDir dir;
  CHECK_THROWS_AS(InputFile(dir.file("missing")), InputError);
  CHECK_THROWS_WITH(InputFile(dir.file("missing")),
                    ContainsSubstring("missing") && ContainsSubstring("No such file"));
  CHECK_THROWS_WITH(InputFile(dir.path().string()), ContainsSubstring("not a regular file"));
  REQUIRE(mkfifo(dir.file("pipe").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(InputFile(dir.file("pipe")), ContainsSubstring("not a regular file"));
  // A sparse file of the largest size: the error names it, and no memory is taken.
  write_file_atomically(dir.file("huge"), "");
  std::filesystem::resize_file(dir.file("huge"), uintmax_t{1} << 43);
  CHECK_THROWS_WITH(read_file(dir.file("huge")),
                    ContainsSubstring("more than this machine's memory"));
}
