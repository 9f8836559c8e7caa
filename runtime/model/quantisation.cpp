// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/quantisation.hpp"

#include <string_view>

#include "runtime/model/config_reader.hpp"

namespace hashep {
namespace {

using nlohmann::json;

constexpr std::string_view kConfig = "quantization_config";
constexpr std::string_view kBlockSize = "weight_block_size";

int64_t block_size(const ConfigReader& reader, const json& sizes, size_t index) {
  const bool is_size = sizes[index].is_number_unsigned() &&
                       std::in_range<int64_t>(sizes[index].get<uint64_t>()) &&
                       sizes[index].get<int64_t>() > 0;
  if (!is_size) reader.fail(kConfig, std::string(kBlockSize) + " has to be two positive integers");
  return sizes[index].get<int64_t>();
}

}  // namespace

Quantisation read_quantisation(const ConfigReader& reader) {
  Quantisation quantisation;
  const json* config = reader.value(kConfig);
  if (config == nullptr || !config->is_object()) return quantisation;
  if (const auto sizes = config->find(kBlockSize); sizes != config->end() && !sizes->is_null()) {
    if (!sizes->is_array() || sizes->size() != 2) {
      reader.fail(kConfig, std::string(kBlockSize) + " has to be two positive integers");
    }
    quantisation.block_rows = block_size(reader, *sizes, 0);
    quantisation.block_cols = block_size(reader, *sizes, 1);
  }
  const auto expect = [&](std::string_view key, std::string_view expected) {
    const auto found = config->find(key);
    if (found == config->end() || found->is_null()) return;
    if (found->is_string() && found->get<std::string>() == expected) return;
    std::string& refused = quantisation.refused;
    refused.assign(kConfig).append(".").append(key).append(" is ").append(found->dump());
    refused.append(", not ").append(expected);
  };
  expect("quant_method", "fp8");
  expect("fmt", "e4m3");
  return quantisation;
}

}  // namespace hashep
