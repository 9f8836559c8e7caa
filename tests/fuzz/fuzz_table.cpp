// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "core/safetensors.hpp"
#include "hashep/routing_table.hpp"
#include "runtime/routing/table_file.hpp"
#include "tests/fuzz/fuzz_target.hpp"

namespace {

using namespace hashep;

/// A table that is accepted has distinct experts of the right range in each row.
void check_table(const TensorContents& tensor) {
  constexpr int64_t kNumExperts = 8;
  const RoutingTable table = table_from_tensor(tensor, kNumExperts, "fuzz");
  fuzz::require(table.top_k >= 1 && table.top_k <= kNumExperts);
  const auto top_k = static_cast<size_t>(table.top_k);
  fuzz::require(table.experts.size() == static_cast<size_t>(table.vocab_size) * top_k);
  for (size_t row = 0; row < table.experts.size(); row += top_k) {
    const auto begin = table.experts.begin() + static_cast<int64_t>(row);
    const std::set<int32_t> experts(begin, begin + table.top_k);
    fuzz::require(experts.size() == top_k && *experts.begin() >= 0 &&
                  *experts.rbegin() < kNumExperts);
  }
}

void check_file(std::span<const std::byte> bytes) {
  const SafeTensors file = parse_safetensors(bytes, std::ssize(bytes), "fuzz");
  for (const auto& [name, tensor] : file.tensors) {
    const auto data = bytes.subspan(tensor.offset, tensor.bytes);
    const TensorContents contents{tensor.dtype, tensor.shape, {data.begin(), data.end()}};
    fuzz::allow_input_error([&] { check_table(contents); });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  fuzz::allow_input_error([&] { check_file(bytes); });
  fuzz::allow_input_error([&] { check_file(fuzz::with_fitting_length(bytes)); });
  return 0;
}
