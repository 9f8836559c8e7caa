// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep {

/// `hashep run`: argv[0] is the program, argv[1] is "run". Returns the exit code. Collective over
/// MPI_COMM_WORLD; initialises and finalises MPI.
int run_command(int argc, char** argv);

/// Says on one rank that there is no command argv[1]. Returns the exit code. Initialises and
/// finalises MPI.
int unknown_command(int argc, char** argv);

}  // namespace hashep
