// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep {

/// `hashep table inspect`: the load that tables make of a corpus. argv[2] is "inspect". Throws
/// InputError, RunError.
void table_inspect(int argc, char** argv);

}  // namespace hashep
