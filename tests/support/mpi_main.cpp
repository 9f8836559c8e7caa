// SPDX-License-Identifier: Apache-2.0
// The main of tests that run on several ranks: it fails on all ranks where one fails. Rank 0
// prints; the others write NAME.rankN.log in the working folder.
#ifndef HASHEP_CATCH2_V3
#define CATCH_CONFIG_RUNNER
#endif
#include <mpi.h>

#include <cstdio>
#include <filesystem>

#include "comm/communicator.hpp"
#include "tests/support/catch.hpp"

int main(int argc, char** argv) {
  const hashep::MpiSession mpi(&argc, &argv);
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
