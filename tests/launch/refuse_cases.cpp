// SPDX-License-Identifier: Apache-2.0
// refuse_cases FOLDER CASES: runs `hashep run` for one bad input after the other in one process, on
// the ranks at hand. CASES is a file of them, a case a line: a text, then the words of the command
// line, all separated by tabs. Each must be refused as bad input, on all ranks alike, with a
// message that holds the text, and must leave nothing in FOLDER. Words of rank 0 and, behind "--",
// of all others run in folders a and b of their own.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "comm/agreement.hpp"
#include "comm/gather.hpp"
#include "hashep/error.hpp"
#include "launch/process/option_text.hpp"
#include "launch/run_job.hpp"

namespace {

using namespace hashep;
namespace fs = std::filesystem;

constexpr double kDeadline = 60.0;  // seconds

struct Case {
  std::string text;
  std::vector<std::string> words;
};

std::vector<Case> read_cases(const std::string& path) {
  std::vector<Case> cases;
  std::ifstream lines(path);
  for (std::string line; std::getline(lines, line);) {
    Case next;
    for (size_t begin = 0; begin <= line.size();) {
      const size_t end = std::min(line.find('\t', begin), line.size());
      next.words.push_back(line.substr(begin, end - begin));
      begin = end + 1;
    }
    next.text = next.words.front();
    next.words.erase(next.words.begin());
    cases.push_back(next);
  }
  return cases;
}

/// The words of this rank, which it may run in a folder of its own.
std::vector<std::string> own_words(const Case& bad, int rank) {
  const auto end = std::find(bad.words.begin(), bad.words.end(), "--");
  if (end == bad.words.end()) return bad.words;
  fs::current_path(rank == 0 ? "a" : "b");
  return rank == 0 ? std::vector<std::string>(bad.words.begin(), end)
                   : std::vector<std::string>(end + 1, bad.words.end());
}

/// What the program would say: on the rank that reports, on the others nothing. Errors of another
/// kind leave it.
std::string complaint(const std::vector<std::string>& words, const Communicator& comm) {
  Watch watch(comm, kDeadline, nullptr);
  try {
    RunCommandLine line;
    agree(comm, watch, [&] {
      std::vector<const char*> argv{"hashep", "run"};
      for (const std::string& word : words) argv.push_back(word.c_str());
      line = parse_run_command_line(static_cast<int>(argv.size()), argv.data());
    });
    if (!line.options) throw RunError("the command line is a question");
    run_job(*line.options, words, comm, watch);
  } catch (const CollectiveInputError& error) {
    return error.is_reporter() ? option_text(error) : "";
  } catch (const std::exception&) {
    std::string all;
    for (const std::string& word : words) all += " " + word;
    std::fprintf(stderr, "refuse_cases: rank %d ends at the case:%s\n", comm.rank(), all.c_str());
    throw;
  }
  return comm.rank() == 0 ? "it ran" : "";
}

int run(const std::string& folder, const std::string& path) {
  const Communicator comm(MPI_COMM_WORLD);
  const std::vector<Case> cases = read_cases(path);
  const fs::path home = fs::current_path();
  int failures = 0;
  for (const Case& bad : cases) {
    const std::string said = complaint(own_words(bad, comm.rank()), comm);
    fs::current_path(home);
    int speakers = said.empty() ? 0 : 1;
    check_mpi(MPI_Allreduce(MPI_IN_PLACE, &speakers, 1, MPI_INT, MPI_SUM, comm.get()),
              "MPI_Allreduce");
    const bool is_left = comm.rank() == 0 && !fs::is_empty(folder);
    const bool is_right = said.empty() || said.find(bad.text) != std::string::npos;
    if (speakers == 1 && is_right && !is_left) continue;
    ++failures;
    std::string words;
    for (const std::string& word : bad.words) words += " " + word;
    std::fprintf(stderr, "rank %d:%s: expected '%s', %d ranks spoke, this one: %s%s\n", comm.rank(),
                 words.c_str(), bad.text.c_str(), speakers, said.c_str(),
                 is_left ? "; files are left" : "");
    if (is_left) {
      for (const auto& entry : fs::directory_iterator(folder)) fs::remove_all(entry);
    }
  }
  check_mpi(MPI_Allreduce(MPI_IN_PLACE, &failures, 1, MPI_INT, MPI_SUM, comm.get()),
            "MPI_Allreduce");
  if (comm.rank() == 0) std::printf("%zu refused, %d not as expected\n", cases.size(), failures);
  return failures == 0 && !cases.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const MpiSession session(&argc, &argv);
  if (argc != 3) return 2;
  try {
    return run(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "refuse_cases: %s\n", error.what());
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
}
