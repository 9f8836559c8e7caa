// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <numeric>
#include <string>

#include "core/safetensors.hpp"
#include "tests/fuzz/fuzz_target.hpp"

namespace {

using namespace hashep;

bool is_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

/// Reads every byte of every tensor, and checks that a header written for them is read again.
void check(std::span<const std::byte> bytes) {
  const SafeTensors file = parse_safetensors(bytes, "fuzz");
  std::vector<SafeTensorSpec> specs;
  std::vector<std::byte> data;
  for (const auto& [name, tensor] : file.tensors) {
    const int64_t count =
        std::accumulate(tensor.shape.begin(), tensor.shape.end(), int64_t{1}, std::multiplies<>());
    fuzz::require(count == tensor.num_elements());
    fuzz::require(count == 0 ||
                  (tensor.data.data() >= bytes.data() &&
                   tensor.data.data() + tensor.data.size() <= bytes.data() + bytes.size()));
    if (is_float(tensor.dtype)) {
      std::vector<float> values(static_cast<size_t>(count));
      convert_to_float(tensor.dtype, tensor.data.data(), count, values.data());
    }
    specs.push_back({name, tensor.dtype, tensor.shape});
    data.insert(data.end(), tensor.data.begin(), tensor.data.end());
  }
  const std::string header = safetensors_header(specs, file.metadata);
  std::vector<std::byte> again(header.size());
  std::memcpy(again.data(), header.data(), header.size());
  again.insert(again.end(), data.begin(), data.end());
  const SafeTensors reread = parse_safetensors(again, "written again");
  fuzz::require(reread.metadata == file.metadata && reread.tensors.size() == file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) {
    const SafeTensor& other = reread.tensors.at(name);
    fuzz::require(
        other.dtype == tensor.dtype && other.shape == tensor.shape &&
        std::equal(other.data.begin(), other.data.end(), tensor.data.begin(), tensor.data.end()));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  fuzz::allow_input_error([&] { check(bytes); });
  fuzz::allow_input_error([&] { check(fuzz::with_fitting_length(bytes)); });
  return 0;
}
