// SPDX-License-Identifier: Apache-2.0
#include "launch/process/launcher_count.hpp"

#include <map>

#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

Lookup environment(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
}

std::string complaint(const std::map<std::string, std::string>& variables, int mpi_size) {
  return launcher_complaint(environment(variables), mpi_size, "Open MPI v4.1.4").text;
}

}  // namespace

TEST_CASE("each launcher's count is compared with MPI's") {
  for (const char* name :
       {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "JSM_NAMESPACE_SIZE",
        "FLUX_JOB_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"}) {
    CAPTURE(name);
    CHECK(complaint({{name, "4"}}, 4).empty());
    for (const int size : {1, 2, 5}) {
      const std::string text = complaint({{name, "4"}}, size);
      CHECK_THAT(text, ContainsSubstring(std::string(name) + " is 4, but MPI (Open MPI v4.1.4) "));
      CHECK_THAT(text, ContainsSubstring("counts " + std::to_string(size) + " rank"));
    }
  }
  CHECK(complaint({}, 1).empty());
  CHECK(complaint({}, 4).empty());
}

TEST_CASE("a complaint names the cures of this MPI and the way to insist") {
  const Lookup lookup = environment({{"SLURM_NTASKS", "4"}});
  const std::string open_mpi = launcher_complaint(lookup, 1, "Open MPI v4.1.4").text;
  CHECK_THAT(open_mpi,
             ContainsSubstring("use the mpirun of this MPI, or under Slurm srun --mpi=pmix"));
  CHECK_THAT(open_mpi, ContainsSubstring("HASHEP_LAUNCHER_CHECK=off"));
  CHECK_THAT(launcher_complaint(lookup, 1, "MPICH 4.0.2").text,
             ContainsSubstring("srun --mpi=pmi2"));
  CHECK(complaint({{"SLURM_NTASKS", "4"}, {"HASHEP_LAUNCHER_CHECK", "off"}}, 1).empty());
  CHECK_FALSE(complaint({{"SLURM_NTASKS", "4"}, {"HASHEP_LAUNCHER_CHECK", "on"}}, 1).empty());
}

TEST_CASE("the launcher nearest to the process counts") {
  // mpirun in a job of Slurm, for more or fewer ranks than the job has tasks.
  CHECK(complaint({{"SLURM_NTASKS", "4"}, {"OMPI_COMM_WORLD_SIZE", "2"}}, 2).empty());
  CHECK(complaint({{"SLURM_NTASKS", "4"}, {"PMI_SIZE", "1"}}, 1).empty());
  CHECK_THAT(complaint({{"SLURM_NTASKS", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}}, 1),
             ContainsSubstring("OMPI_COMM_WORLD_SIZE is 2"));
  // A step of one task in a job of four, and the other way round.
  CHECK(complaint({{"SLURM_NTASKS", "4"}, {"SLURM_STEP_NUM_TASKS", "1"}}, 1).empty());
  CHECK_THAT(complaint({{"SLURM_NTASKS", "1"}, {"SLURM_STEP_NUM_TASKS", "4"}}, 1),
             ContainsSubstring("SLURM_STEP_NUM_TASKS is 4"));
  // A step of several parts counts one of them.
  CHECK(complaint({{"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_HET_SIZE", "2"}}, 8).empty());
}

TEST_CASE("PMIx says a rank and no count") {
  CHECK(complaint({{"PMIX_RANK", "0"}}, 1).empty());
  CHECK(complaint({{"PMIX_RANK", "3"}}, 4).empty());
  CHECK_THAT(complaint({{"PMIX_RANK", "3"}}, 1), ContainsSubstring("PMIX_RANK is 3"));
}

TEST_CASE("what is no number of ranks says nothing") {
  for (const char* text : {"", "x", "4x", "-4", "99999999999", "2(x3)"}) {
    CHECK(complaint({{"SLURM_NTASKS", text}}, 1).empty());
  }
}

TEST_CASE("of processes that each take themselves to be alone one speaks") {
  const auto speaks = [](const std::map<std::string, std::string>& variables) {
    return launcher_complaint(environment(variables), 1, "MPICH 4.0.2").is_first;
  };
  CHECK(speaks({{"SLURM_NTASKS", "4"}}));
  CHECK(speaks({{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}}));
  CHECK_FALSE(speaks({{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "1"}}));
  CHECK(speaks({{"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_RANK", "0"}}));
  CHECK_FALSE(speaks({{"PMI_SIZE", "2"}, {"PMI_RANK", "1"}}));
  CHECK(speaks({{"PMIX_RANK", "1"}}));
  CHECK_FALSE(speaks({{"PMIX_RANK", "2"}}));
}

TEST_CASE("a process knows its rank before MPI is up") {
  CHECK(rank_by_launcher(environment({})) == -1);
  CHECK(rank_by_launcher(environment({{"OMPI_COMM_WORLD_RANK", "2"}, {"SLURM_PROCID", "0"}})) == 2);
  CHECK(rank_by_launcher(environment({{"PMI_RANK", "3"}})) == 3);
  CHECK(rank_by_launcher(environment({{"SLURM_PROCID", "5"}})) == 5);
}
