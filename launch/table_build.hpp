// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep {

/// `hashep table build`: counts token files, builds a table for each layer and writes them, with
/// what they were made of as metadata. argv[2] is "build". Throws InputError, RunError.
void table_build(int argc, char** argv);

}  // namespace hashep
