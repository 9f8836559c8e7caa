// SPDX-License-Identifier: Apache-2.0
#include "launch/process/launcher_rank.hpp"

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

}  // namespace

TEST_CASE("each launcher's variable is read") {
  for (const char* name :
       {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "MV2_COMM_WORLD_LOCAL_RANK",
        "PALS_LOCAL_RANKID", "PMI_LOCAL_RANK", "FLUX_TASK_LOCAL_ID", "SLURM_LOCALID"}) {
    const auto rank = launcher_rank(environment({{name, "3"}}));
    REQUIRE(rank.has_value());
    CHECK(rank->variable == name);
    CHECK(rank->local_rank == 3);
  }
  CHECK_FALSE(launcher_rank(environment({})).has_value());
  CHECK_FALSE(launcher_rank(environment({{"OMPI_COMM_WORLD_RANK", "3"}})).has_value());
}

TEST_CASE("what is no number says nothing") {
  for (const char* text : {"", "x", "3x", "-1", "99999999999"}) {
    CHECK_FALSE(launcher_rank(environment({{"SLURM_LOCALID", text}})).has_value());
  }
}

TEST_CASE("mpirun in a Slurm job comes before Slurm") {
  const auto rank =
      launcher_rank(environment({{"SLURM_LOCALID", "0"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "2"}}));
  REQUIRE(rank.has_value());
  CHECK(rank->local_rank == 2);
}

TEST_CASE("a disagreement with MPI names both counts, and agreement says nothing") {
  const Lookup slurm = environment({{"SLURM_LOCALID", "3"}});
  CHECK(launcher_disagreement(slurm, 3).empty());
  CHECK(launcher_disagreement(environment({}), 3).empty());
  CHECK(launcher_disagreement(slurm, 0) ==
        "MPI counts it as number 0 of its node, SLURM_LOCALID is 3; MPI's count decides which GPU "
        "it takes");
}
