// SPDX-License-Identifier: Apache-2.0
#include "core/atomic_file.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <iterator>
#include <utility>

#include "core/input_file.hpp"
#include "hashep/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

namespace fs = std::filesystem;
using namespace hashep;
using test::TempDir;

namespace {

std::string text_of(const std::string& path) {
  const auto bytes = read_file(path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

int64_t num_files(const TempDir& dir) {
  return std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator());
}

}  // namespace

TEST_CASE("a file appears at commit and not before") {
  const TempDir dir;
  AtomicFile file(dir.file("out"));
  file.write("first ");
  file.write("second");
  CHECK_FALSE(fs::exists(dir.file("out")));
  file.commit();
  CHECK(text_of(dir.file("out")) == "first second");
  CHECK(num_files(dir) == 1);
}

TEST_CASE("without commit nothing is left and an old file stays") {
  const TempDir dir;
  write_file_atomically(dir.file("out"), "old");
  {
    AtomicFile file(dir.file("out"));
    file.write("new");
  }
  CHECK(text_of(dir.file("out")) == "old");
  CHECK(num_files(dir) == 1);
  write_file_atomically(dir.file("out"), "new");
  CHECK(text_of(dir.file("out")) == "new");
}

TEST_CASE("a moved file commits once") {
  const TempDir dir;
  AtomicFile first(dir.file("out"));
  first.write("a");
  AtomicFile second(std::move(first));
  second.write("b");
  second.commit();
  CHECK(text_of(dir.file("out")) == "ab");
}

TEST_CASE("a link is written through") {
  const TempDir dir;
  write_file_atomically(dir.file("target"), "old");
  fs::create_symlink(dir.file("target"), dir.file("link"));
  write_file_atomically(dir.file("link"), "new");
  CHECK(fs::is_symlink(dir.file("link")));
  CHECK(text_of(dir.file("target")) == "new");
}

TEST_CASE("a link is replaced where that is asked for, and what it leads to stays") {
  const TempDir dir;
  write_file_atomically(dir.file("blob"), "shared");
  fs::permissions(dir.file("blob"), fs::perms::owner_read);
  fs::create_symlink("blob", dir.file("link"));
  fs::create_symlink("nowhere", dir.file("dangling"));
  for (const std::string name : {"link", "dangling", "new"}) {
    AtomicFile file(dir.file(name), LinkAt::replace);
    file.write("own");
    file.commit();
    CHECK_FALSE(fs::is_symlink(dir.file(name)));
    CHECK(text_of(dir.file(name)) == "own");
  }
  CHECK(text_of(dir.file("blob")) == "shared");
  CHECK(num_files(dir) == 4);
  fs::create_directory_symlink(dir.path(), dir.file("folder"));
  CHECK_THROWS_AS(AtomicFile(dir.file("folder"), LinkAt::replace), InputError);
}

TEST_CASE("a place that cannot be written to is found at once") {
  const TempDir dir;
  CHECK_THROWS_AS(AtomicFile(dir.file("no/such/folder")), InputError);
  CHECK_THROWS_AS(AtomicFile(dir.path().string()), InputError);
  CHECK_THROWS_AS(AtomicFile(""), InputError);
  CHECK_THROWS_AS(AtomicFile("/dev/null"), InputError);
  CHECK_THROWS_WITH(AtomicFile(dir.file("no/such/folder")),
                    ContainsSubstring("no/such/folder") && ContainsSubstring("cannot write"));
}

TEST_CASE("a killed process leaves nothing behind where the file system allows it") {
  const TempDir dir;
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    AtomicFile file(dir.file("out"));
    file.write("half of it");
    raise(SIGKILL);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  CHECK_FALSE(fs::exists(dir.file("out")));
  // A file system without unnamed files keeps the temporary one, never one of the name asked for.
  for (const auto& entry : fs::directory_iterator(dir.path())) {
    CHECK(entry.path().extension() == ".tmp");
  }
}
