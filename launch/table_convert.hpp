// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep {

/// `hashep table convert`: tables between files, types and model folders, and new numbers for
/// experts. argv[2] is "convert". Throws InputError, RunError.
void table_convert(int argc, char** argv);

}  // namespace hashep
