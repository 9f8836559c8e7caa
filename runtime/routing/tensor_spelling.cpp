// SPDX-License-Identifier: Apache-2.0
#include "runtime/routing/tensor_spelling.hpp"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace hashep {
namespace {

using Renamed = std::pair<std::string_view, std::string_view>;

constexpr std::array<std::string_view, 2> kLeading = {"model.", "language_model."};
constexpr std::array<std::string_view, 4> kOfTables = {"tid2eid", "spread_ids", "spread_offsets",
                                                       "spread_rows"};
constexpr std::array<Renamed, 3> kMatrices = {
    {{"gate_proj", "w1"}, {"up_proj", "w3"}, {"down_proj", "w2"}}};
constexpr std::array<std::string_view, 4> kStacked = {"w1", "w2", "w3", "gate_up_proj"};
/// How names of scales end, behind what they are the scales of and '.' or '_'.
constexpr std::array<std::string_view, 4> kScales = {"weight_scale_inv", "weight_scale",
                                                     "scale_inv", "scale"};

template <size_t count>
bool is_one_of(const std::array<std::string_view, count>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string_view without_leading(std::string_view name) {
  for (bool again = true; again;) {
    again = false;
    for (const std::string_view prefix : kLeading) {
      if (!name.starts_with(prefix)) continue;
      name.remove_prefix(prefix.size());
      again = true;
    }
  }
  return name;
}

std::vector<std::string> split_at_dots(std::string_view name) {
  std::vector<std::string> parts;
  for (size_t dot = name.find('.'); dot != name.npos; dot = name.find('.')) {
    parts.emplace_back(name.substr(0, dot));
    name.remove_prefix(dot + 1);
  }
  parts.emplace_back(name);
  return parts;
}

/// "down_proj_scale_inv" becomes "down_proj" and "scale"; "weight_scale_inv" becomes "scale".
void split_scale(std::vector<std::string>& parts) {
  for (const std::string_view ending : kScales) {
    std::string& last = parts.back();
    if (last == ending) {
      last = "scale";
      return;
    }
    if (!last.ends_with("_" + std::string(ending))) continue;
    last.resize(last.size() - ending.size() - 1);
    parts.emplace_back("scale");
    return;
  }
}

/// What stands behind "layers.N.ffn.", part by part.
void rename(std::vector<std::string>& parts) {
  if (is_one_of(kOfTables, parts.back())) {
    parts = {"gate", parts.back()};
    return;
  }
  if (parts.front() == "gate") {
    if (parts.back() == "e_score_correction_bias") parts.back() = "bias";
    return;
  }
  if (parts.front() != "experts" && parts.front() != "shared_experts") return;
  split_scale(parts);
  for (std::string& part : parts) {
    for (const auto& [theirs, own] : kMatrices) {
      if (part == theirs) part = own;
    }
  }
  if (is_one_of(kStacked, parts.back())) parts.emplace_back("weight");
}

}  // namespace

std::string own_tensor_name(std::string_view name) {
  name = without_leading(name);
  const std::vector<std::string> parts = split_at_dots(name);
  const bool is_of_layer =
      parts.size() > 3 && parts[0] == "layers" && (parts[2] == "ffn" || parts[2] == "mlp");
  if (!is_of_layer) return std::string(name);
  std::vector<std::string> rest(parts.begin() + 3, parts.end());
  rename(rest);
  std::string own = "layers." + parts[1] + ".ffn";
  for (const std::string& part : rest) own += "." + part;
  return own;
}

}  // namespace hashep
