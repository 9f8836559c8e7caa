// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "runtime/model/model_config.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/tensor_files.hpp"

namespace hashep::test {

using Tensors = std::map<std::string, TensorData>;

/// A DeepSeek-V4 config in small: 2 layers, d 6, f 5, 3 experts, top-2, 2 shared, vocab 7.
std::string small_config_json();

/// All tensors of that model, with `prefix` before their names. Each value is that of
/// small_weight.
Tensors small_tensors(DType dtype, const std::string& prefix);

/// The value of an element of the tensor with this name (without prefix): a small integer that
/// every dtype holds, and that tells tensors and elements apart.
float small_weight(const std::string& name, int64_t index);

void write_text(const std::string& path, const std::string& text);

/// Writes config.json and one file with all tensors.
void write_small_model(const TempDir& dir, const Tensors& tensors);

}  // namespace hashep::test
