// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep {

/// `hashep convert`: a model folder whose experts are in another format. Returns the exit code.
int convert_command(int argc, char** argv);

}  // namespace hashep
