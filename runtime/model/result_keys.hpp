// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/model/config_file.hpp"
#include "runtime/model/model_files.hpp"

namespace hashep {

/// A default that nobody asked for would be wrong in silence, since the program and its oracle
/// share it: where a tensor needs a key of config.json, the key has to be there. Throws InputError
/// naming config.json, the key and the tensor; also where keys contradict each other.
void require_result_keys(const ConfigFile& config, const ModelFiles& files);

}  // namespace hashep
