// SPDX-License-Identifier: Apache-2.0
#include "comm/shared_file.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "comm/agreement.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
namespace fs = std::filesystem;

namespace {

double slow_seconds = 0.0;  // that each pwrite takes longer

/// A folder that all ranks know, empty, and removed at the end.
class SharedFolder {
 public:
  SharedFolder(const Communicator& comm, Watch& watch) : comm_(comm), watch_(watch) {
    const int64_t number = gather_word(comm, watch, getpid()).front();
    path_ = fs::temp_directory_path() / ("shared_file_test." + std::to_string(number));
    if (comm.rank() == 0) fs::create_directory(path_);
    watch.barrier();
  }
  ~SharedFolder() {
    watch_.barrier();
    if (comm_.rank() == 0) fs::remove_all(path_);
  }

  std::string file() const { return (path_ / "out").string(); }
  /// How many files there are, after all ranks have done what they do.
  int64_t count() const {
    watch_.barrier();
    const auto files = std::distance(fs::directory_iterator(path_), fs::directory_iterator());
    watch_.barrier();
    return files;
  }

 private:
  const Communicator& comm_;
  Watch& watch_;
  fs::path path_;
};

/// Rank r has 1000 r + 3 bytes of value r + 1, one rank's after the other's.
std::vector<std::byte> part_of(int rank) {
  return std::vector<std::byte>(1000 * rank + 3, static_cast<std::byte>(rank + 1));
}

int64_t offset_of(int rank) {
  int64_t offset = 0;
  for (int lower = 0; lower < rank; ++lower) offset += std::ssize(part_of(lower));
  return offset;
}

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string expected_text(int ranks) {
  std::string text;
  for (int rank = 0; rank < ranks; ++rank) {
    for (const std::byte byte : part_of(rank)) text += static_cast<char>(byte);
  }
  return text;
}

}  // namespace

// Links with --wrap=pwrite.
extern "C" {
ssize_t __real_pwrite(int file, const void* data, size_t size, off_t offset);
ssize_t __wrap_pwrite(int file, const void* data, size_t size, off_t offset) {
  std::this_thread::sleep_for(std::chrono::duration<double>(slow_seconds));
  return __real_pwrite(file, data, size, offset);
}
}

TEST_CASE("each rank's part is in its place, and nothing is there before commit") {
  const Communicator comm(MPI_COMM_WORLD);
  Watch watch(comm, 60.0, nullptr);
  for (const int ranks_per_node : {comm.size(), 1}) {
    INFO(ranks_per_node << " ranks a node");
    const NodeMap nodes = nodes_of_equal_size(comm.size(), ranks_per_node);
    const SharedFolder folder(comm, watch);
    {
      SharedFile file(comm, nodes, watch, folder.file());
      file.write(part_of(comm.rank()), offset_of(comm.rank()));
      CHECK_FALSE(fs::exists(folder.file()));
      // Where all ranks share a node the file has no name, if the file system has such files.
      CHECK(folder.count() <= 1);
      file.commit();
    }
    CHECK(text_of(folder.file()) == expected_text(comm.size()));
    CHECK(folder.count() == 1);
    {
      SharedFile file(comm, nodes, watch, folder.file());
      file.write(std::vector<std::byte>(5), 0);
    }
    CHECK(text_of(folder.file()) == expected_text(comm.size()));
    CHECK(folder.count() == 1);
  }
}

TEST_CASE("where a rank cannot write, all ranks learn of it and nothing is left") {
  const Communicator comm(MPI_COMM_WORLD);
  Watch watch(comm, 60.0, nullptr);
  const int failing = comm.size() - 1;
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  for (const int ranks_per_node : {comm.size(), 1}) {
    const SharedFolder folder(comm, watch);
    std::string text;
    bool is_reporter = false;
    try {
      SharedFile file(comm, nodes_of_equal_size(comm.size(), ranks_per_node), watch, folder.file());
      const rlimit small{1, before.rlim_max};
      CHECK(setrlimit(RLIMIT_FSIZE, comm.rank() == failing ? &small : &before) == 0);
      file.write(part_of(comm.rank()), offset_of(comm.rank()));
    } catch (const CollectiveRunError& error) {
      text = error.what();
      is_reporter = error.is_reporter();
    }
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK_THAT(text, ContainsSubstring("rank " + std::to_string(failing)));
    CHECK(is_reporter == (comm.rank() == failing));
    if (is_reporter) CHECK_THAT(text, ContainsSubstring("out: write failed: File too large"));
    CHECK(folder.count() == 0);
  }
}

TEST_CASE("a rank that does not see the file is named, with its host") {
  const Communicator comm(MPI_COMM_WORLD);
  if (comm.size() == 1) return;
  Watch watch(comm, 60.0, nullptr);
  const SharedFolder folder(comm, watch);
  const int blind = comm.size() - 1;
  const std::string path = comm.rank() == blind ? "/nowhere/out" : folder.file();
  std::string text;
  try {
    const SharedFile file(comm, nodes_of_equal_size(comm.size(), 1), watch, path);
  } catch (const CollectiveInputError& error) {
    text = error.what();
    CHECK(error.is_reporter() == (comm.rank() == blind));
  }
  std::array<char, 256> host{};
  REQUIRE(gethostname(host.data(), host.size() - 1) == 0);
  CHECK_THAT(text, ContainsSubstring("rank " + std::to_string(blind)));
  if (comm.rank() == blind) {
    CHECK_THAT(text, ContainsSubstring(std::string(" on ") + host.data() + " cannot open"));
    CHECK_THAT(text, ContainsSubstring("No such file or directory"));
  }
  CHECK(folder.count() == 0);
}

TEST_CASE("writing may take longer than the deadline, as long as it goes on") {
  const Communicator comm(MPI_COMM_WORLD);
  if (comm.size() != 2) return;      // once is enough
  constexpr double kDeadline = 8.0;  // seconds: a turn takes a small part of it
  constexpr int kTurns = 9;
  Watch watch(comm, kDeadline, nullptr);
  const SharedFolder folder(comm, watch);
  SharedFile file(comm, nodes_of_equal_size(comm.size(), comm.size()), watch, folder.file());
  // One rank writes, and slowly; the others wait.
  const int writer = comm.size() - 1;
  const std::vector<std::byte> part(
      comm.rank() == writer ? static_cast<size_t>(kTurns * SharedFile::kTurnBytes) : 0);
  slow_seconds = comm.rank() == writer ? 1.1 : 0.0;
  CHECK_NOTHROW(file.write(part, 0));
  slow_seconds = 0.0;
  CHECK_NOTHROW(file.commit());
  CHECK(fs::file_size(folder.file()) == kTurns * SharedFile::kTurnBytes);
}
