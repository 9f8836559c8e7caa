// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
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

std::span<const std::byte> data_of(const SafeTensor& tensor, std::span<const std::byte> file) {
  fuzz::require(tensor.offset >= 0 && tensor.bytes >= 0 &&
                tensor.bytes <= std::ssize(file) - tensor.offset);
  return file.subspan(tensor.offset, tensor.bytes);
}

/// Reads every byte of every tensor, and checks that a header written for them is read again.
void check(std::span<const std::byte> bytes) {
  const SafeTensors file = parse_safetensors(bytes, std::ssize(bytes), "fuzz");
  std::vector<SafeTensorSpec> specs;
  std::vector<std::byte> data;
  for (const auto& [name, tensor] : file.tensors) {
    const int64_t count =
        std::accumulate(tensor.shape.begin(), tensor.shape.end(), int64_t{1}, std::multiplies<>());
    fuzz::require(count == tensor.num_elements());
    const auto stored = data_of(tensor, bytes);
    if (is_float(tensor.dtype)) {
      std::vector<float> values(count);
      convert_to_float(tensor.dtype, stored.data(), count, values.data());
    }
    specs.push_back({name, tensor.dtype, tensor.shape});
    data.insert(data.end(), stored.begin(), stored.end());
  }
  const std::string header = safetensors_header(specs, file.metadata);
  std::vector<std::byte> again(header.size());
  std::memcpy(again.data(), header.data(), header.size());
  again.insert(again.end(), data.begin(), data.end());
  const SafeTensors reread = parse_safetensors(again, std::ssize(again), "written again");
  fuzz::require(reread.metadata == file.metadata && reread.tensors.size() == file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) {
    const SafeTensor& other = reread.tensors.at(name);
    fuzz::require(other.dtype == tensor.dtype && other.shape == tensor.shape &&
                  std::ranges::equal(data_of(other, again), data_of(tensor, bytes)));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  fuzz::allow_input_error([&] { check(bytes); });
  fuzz::allow_input_error([&] { check(fuzz::with_fitting_length(bytes)); });
  return 0;
}
