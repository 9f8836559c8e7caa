// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/config_file.hpp"
#include "tests/fuzz/fuzz_target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hashep;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  fuzz::allow_input_error([&] {
    const ModelConfig config = parse_config_file(text, "fuzz").model;
    validate_config(config, "fuzz");
    fuzz::require(config.top_k >= 1 && config.top_k <= config.num_experts);
    fuzz::require(parse_activation(activation_name(config.activation)) == config.activation);
    fuzz::require(parse_score(score_name(config.score)) == config.score);
    fuzz::require(parse_router(router_name(config.router)) == config.router);
    // Overflow here is what UBSan would report.
    const FfnShape shared = config.shared_shape();
    fuzz::require(
        config.num_layers * config.num_experts * 3 * config.hidden_size * config.ffn_size >= 0 &&
        shared.ffn_size * shared.hidden_size >= 0);
  });
  return 0;
}
