// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "hashep/dtype.hpp"

namespace hashep::test {

/// A tensor to be written into a test's file.
struct TensorData {
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};

/// A tensor of floats, stored as f32, f16 (of values that f16 holds exactly) or bf16 (rounded).
TensorData float_tensor(DType dtype, std::vector<int64_t> shape, std::span<const float> values);

/// A tensor of integers, stored as i32 or i64.
TensorData integer_tensor(DType dtype, std::vector<int64_t> shape, std::span<const int64_t> values);

/// Writes a safetensors file, the tensors' data in order of their names.
void write_safetensors(const std::string& path, const std::map<std::string, TensorData>& tensors);

}  // namespace hashep::test
