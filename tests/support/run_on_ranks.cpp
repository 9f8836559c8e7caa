// SPDX-License-Identifier: Apache-2.0
#include "tests/support/run_on_ranks.hpp"

#ifndef HASHEP_CATCH2_V3
#define CATCH_CONFIG_RUNNER
#endif
#include <mpi.h>

#include <cstdio>
#include <filesystem>

#include "tests/support/catch.hpp"

namespace hashep::test {

int run_on_ranks(int argc, char** argv) {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);

  Catch::Session catch_session;
  if (rank != 0) {
    const std::string name = std::filesystem::path(argv[0]).filename().string();
    const std::string log = name + ".rank" + std::to_string(rank) + ".log";
#ifdef HASHEP_CATCH2_V3
    catch_session.configData().defaultOutputFilename = log;
#else
    catch_session.configData().outputFilename = log;
#endif
  }
  const int own = catch_session.run(argc, argv);
  if (own != 0 && rank != 0) std::fprintf(stderr, "rank %d: %d failed\n", rank, own);
  int worst = own;
  MPI_Allreduce(&own, &worst, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  return worst;
}

}  // namespace hashep::test
