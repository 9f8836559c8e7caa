// SPDX-License-Identifier: Apache-2.0
#include "core/thread_choice.hpp"

#include <map>

#include "hashep/error.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

const CoreShare kShare{4.0, "8 cores shared by 2 ranks"};

ThreadChoice choose(int64_t asked, const std::map<std::string, std::string>& variables) {
  return choose_threads(asked, "--threads", kShare, [&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

}  // namespace

TEST_CASE("a rank of which no number was asked computes on its share of the cores") {
  const ThreadChoice choice = choose(0, {});
  CHECK(choice.threads == 4);
  CHECK(choice.why == "8 cores shared by 2 ranks");
}

TEST_CASE("OMP_NUM_THREADS is taken, and --threads wins over it") {
  CHECK(choose(0, {{"OMP_NUM_THREADS", "3"}}).threads == 3);
  CHECK(choose(0, {{"OMP_NUM_THREADS", "3"}}).why == "OMP_NUM_THREADS");
  CHECK(choose(0, {{"OMP_NUM_THREADS", " 2 , 4"}}).threads == 2);
  CHECK(choose(1, {{"OMP_NUM_THREADS", "3"}}).threads == 1);
  CHECK(choose(1, {{"OMP_NUM_THREADS", "3"}}).why == "--threads");
  CHECK(choose(0, {{"OMP_NUM_THREADS", "3"}, {"SLURM_CPUS_PER_TASK", "2"}}).threads == 3);
  for (const char* nothing : {"", "0", "-2", "many", "2x", "99999999999999999999", "9999999"}) {
    CHECK(choose(0, {{"OMP_NUM_THREADS", nothing}}).threads == 4);
  }
}

TEST_CASE("more threads than cores are taken, and said") {
  CHECK(choose(0, {{"OMP_NUM_THREADS", "16"}}).threads == 16);
  CHECK(choose(0, {{"OMP_NUM_THREADS", "16"}}).why ==
        "OMP_NUM_THREADS, more than was granted: 8 cores shared by 2 ranks");
  CHECK(choose(5, {}).why == "--threads, more than was granted: 8 cores shared by 2 ranks");
  CHECK_THROWS_AS(choose(int64_t{1} << 40, {}), RunError);
}

TEST_CASE("SLURM_CPUS_PER_TASK limits what a task of Slurm takes") {
  CHECK(choose(0, {{"SLURM_CPUS_PER_TASK", "2"}}).threads == 2);
  CHECK(choose(0, {{"SLURM_CPUS_PER_TASK", "2"}}).why == "SLURM_CPUS_PER_TASK");
  CHECK(choose(0, {{"SLURM_CPUS_PER_TASK", "64"}}).threads == 4);
  CHECK(choose(0, {{"SLURM_CPUS_PER_TASK", "64"}}).why == "8 cores shared by 2 ranks");
}
