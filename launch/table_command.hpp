// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep {

/// `hashep table COMMAND`: argv[1] is "table". One process, no MPI. Returns the exit code.
int table_command(int argc, char** argv);

}  // namespace hashep
