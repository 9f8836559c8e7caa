// SPDX-License-Identifier: Apache-2.0
#include "core/npy.hpp"
#include "tests/fuzz/fuzz_target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hashep;
  fuzz::allow_input_error([&] {
    const NpyArray array = parse_npy(std::as_bytes(std::span(data, size)), "fuzz");
    int64_t count = 1;
    for (const int64_t length : array.shape) count *= length;
    fuzz::require(count == array.num_elements());
    fuzz::require(array.kind == 'i' || array.kind == 'u' || array.kind == 'f');
    for (int64_t i = 0; array.kind != 'f' && i < count; ++i) {
      fuzz::require(array.kind == 'i' || array.integer_at(i) >= 0);
      fuzz::require(array.kind == 'u' || array.item_size == 8 ||
                    array.integer_at(i) < int64_t{1} << (8 * array.item_size - 1));
    }
  });
  return 0;
}
