// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep {

/// `hashep train`: argv[1] is "train". Returns the exit code. Collective.
int train_command(int argc, char** argv);

}  // namespace hashep
