// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep::test {

/// Runs a program's tests on all ranks of MPI, which is up. It fails on all ranks where one fails.
/// Rank 0 prints; the others write NAME.rankN.log in the working folder. Returns the exit code.
int run_on_ranks(int argc, char** argv);

}  // namespace hashep::test
