// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep {

/// `hashep plan`: what jobs of other sizes would move and hold, from token ids alone. argv[1] is
/// "plan". Returns the exit code. One process; initialises no MPI.
int plan_command(int argc, char** argv);

}  // namespace hashep
