// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/gpu/layer_dump.hpp"

#include <array>
#include <span>

#include "benchmarks/choice_weights.hpp"
#include "core/atomic_file.hpp"
#include "core/safetensors.hpp"

namespace hashep::bench {
namespace {

template <typename T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

std::span<const std::byte> bytes_of(ConstMatrixView matrix) {
  return {matrix.data, static_cast<size_t>(matrix.bytes())};
}

void write_bytes(AtomicFile& file, std::span<const std::byte> bytes) {
  file.write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace

void dump_layer(const LayerCase& c, const std::vector<std::byte>& y, const std::string& path) {
  const LayerSizes& s = c.sizes;
  const std::array<SafeTensorSpec, 8> specs = {
      {{"x", s.dtype, {s.tokens, s.hidden_size}},
       {"y", s.dtype, {s.tokens, s.hidden_size}},
       {"experts", DType::i32, {s.tokens, s.top_k}},
       {"weights", DType::f32, {s.tokens, s.top_k}},
       {"swiglu_limit", DType::f32, {1}},
       {"w1", DType::bf16, {s.num_experts, s.ffn_size, s.hidden_size}},
       {"w2", DType::bf16, {s.num_experts, s.hidden_size, s.ffn_size}},
       {"w3", DType::bf16, {s.num_experts, s.ffn_size, s.hidden_size}}}};
  AtomicFile file(path);
  file.write(safetensors_header(specs, {}));
  write_bytes(file, bytes_of(c.x));
  write_bytes(file, bytes_of(y));
  write_bytes(file, bytes_of(c.plan.layers.front().experts));
  write_bytes(file,
              bytes_of(choice_weights(c.config, c.weights, c.plan.layers.front(), c.input())));
  write_bytes(file, bytes_of(std::vector<float>{c.config.swiglu_limit}));
  for (const auto matrix : {&FfnWeights::w1, &FfnWeights::w2, &FfnWeights::w3}) {
    for (int64_t expert = 0; expert < s.num_experts; ++expert) {
      write_bytes(file, bytes_of(c.weights.routed_expert(0, expert).weights.*matrix));
    }
  }
  file.commit();
}

}  // namespace hashep::bench
