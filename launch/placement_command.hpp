// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep {

/// `hashep placement`: places experts on ranks by what a corpus puts on them, and writes a
/// placement file. argv[1] is "placement". Returns the exit code. One process; initialises no MPI.
int placement_command(int argc, char** argv);

}  // namespace hashep
