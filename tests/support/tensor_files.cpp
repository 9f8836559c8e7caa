// SPDX-License-Identifier: Apache-2.0
#include "tests/support/tensor_files.hpp"

#include <cmath>
#include <cstring>

#include "core/atomic_file.hpp"
#include "core/safetensors.hpp"

namespace hashep::test {
namespace {

/// The f16 that holds a normal number or zero exactly; its low bits are cut otherwise.
uint16_t f16_from_float(float value) {
  const auto word = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (word >> 16) & 0x8000u;
  if (value == 0.0f) return static_cast<uint16_t>(sign);
  if (!std::isfinite(value))
    return static_cast<uint16_t>(sign | (std::isnan(value) ? 0x7e00u : 0x7c00u));
  return static_cast<uint16_t>(sign | (((word & 0x7fffffffu) - (112u << 23)) >> 13));
}

template <typename T>
void append(std::vector<std::byte>& bytes, T value) {
  const size_t place = bytes.size();
  bytes.resize(place + sizeof(T));
  std::memcpy(bytes.data() + place, &value, sizeof(T));
}

}  // namespace

TensorData float_tensor(DType dtype, std::vector<int64_t> shape, std::span<const float> values) {
  TensorData tensor{dtype, std::move(shape), {}};
  for (const float value : values) {
    if (dtype == DType::f32) append(tensor.bytes, value);
    if (dtype == DType::f16) append(tensor.bytes, f16_from_float(value));
    if (dtype == DType::bf16) append(tensor.bytes, BFloat16(value));
  }
  return tensor;
}

TensorData integer_tensor(DType dtype, std::vector<int64_t> shape,
                          std::span<const int64_t> values) {
  TensorData tensor{dtype, std::move(shape), {}};
  for (const int64_t value : values) {
    if (dtype == DType::i32) append(tensor.bytes, static_cast<int32_t>(value));
    if (dtype == DType::i64) append(tensor.bytes, value);
  }
  return tensor;
}

void write_safetensors(const std::string& path, const std::map<std::string, TensorData>& tensors) {
  std::vector<SafeTensorSpec> specs;
  for (const auto& [name, tensor] : tensors) specs.push_back({name, tensor.dtype, tensor.shape});
  AtomicFile file(path);
  file.write(safetensors_header(specs, {}));
  for (const auto& [name, tensor] : tensors) file.write(tensor.bytes);
  file.commit();
}

}  // namespace hashep::test
