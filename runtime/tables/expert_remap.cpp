// SPDX-License-Identifier: Apache-2.0
#include "runtime/tables/expert_remap.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "core/input_file.hpp"
#include "core/quote.hpp"
#include "core/setting.hpp"
#include "core/strict_json.hpp"
#include "hashep/error.hpp"
#include "runtime/tables/spread_builder.hpp"

namespace hashep {
namespace {

constexpr int32_t kPruned = -1;

std::vector<int32_t> parse_array(std::string_view text, const std::string& source) {
  const nlohmann::json root = nlohmann::json::parse(text, nullptr, false);
  if (!root.is_array()) throw InputError(source + ": not a JSON array of whole numbers");
  std::vector<int32_t> numbers;
  for (const nlohmann::json& element : root) {
    const std::optional<int64_t> number = whole_number(element);
    if (!number || !std::in_range<int32_t>(*number)) {
      throw InputError(source + ": element " + std::to_string(numbers.size()) +
                       " is not a whole number of 32 bits");
    }
    numbers.push_back(static_cast<int32_t>(*number));
  }
  return numbers;
}

std::vector<int32_t> parse_text(std::string_view text, const std::string& source) {
  constexpr std::string_view kSpace = " \t\r\n";
  std::vector<int32_t> numbers;
  for (size_t begin = text.find_first_not_of(kSpace); begin != text.npos;
       begin = text.find_first_not_of(kSpace, begin)) {
    const size_t end = std::min(text.find_first_of(kSpace, begin), text.size());
    const std::string_view word = text.substr(begin, end - begin);
    int32_t number = 0;
    const auto [rest, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (error != std::errc{} || rest != word.data() + word.size()) {
      throw InputError(source + ": " + quote(word) + " is not a whole number of 32 bits");
    }
    numbers.push_back(number);
    begin = end;
  }
  return numbers;
}

/// Gives the choices whose expert was pruned (entries -1) to the least-loaded experts.
void fill_pruned(RoutingTable& table, int64_t num_experts, std::span<const int64_t> counts) {
  const auto top_k = static_cast<size_t>(table.top_k);
  const auto row_of = [&](int32_t id) {
    return std::span(table.experts).subspan(static_cast<size_t>(id) * top_k, top_k);
  };
  std::vector<int64_t> loads(num_experts);
  std::vector<int32_t> ids;  // with a choice to fill
  for (int32_t id = 0; id < table.vocab_size; ++id) {
    bool is_whole = true;
    for (const int32_t expert : row_of(id)) {
      if (expert == kPruned) {
        is_whole = false;
      } else {
        loads[expert] += counts[id];
      }
    }
    if (!is_whole) ids.push_back(id);
  }
  std::stable_sort(ids.begin(), ids.end(),
                   [&](int32_t a, int32_t b) { return counts[a] > counts[b]; });
  for (const int32_t id : ids) {
    const std::span<int32_t> row = row_of(id);
    for (int32_t& choice : row) {
      if (choice != kPruned) continue;
      int32_t best = kPruned;
      for (int32_t expert = 0; expert < num_experts; ++expert) {
        if (std::find(row.begin(), row.end(), expert) != row.end()) continue;
        const bool is_less = best == kPruned || loads[expert] < loads[best];
        if (is_less) best = expert;
      }
      choice = best;
      // An id that never occurred counts as one, or all of them would get the same expert.
      loads[best] += std::max(counts[id], int64_t{1});
    }
  }
}

}  // namespace

ExpertRemap make_expert_remap(std::vector<int32_t> new_of, const std::string& source) {
  const auto pruned = std::count(new_of.begin(), new_of.end(), kPruned);
  ExpertRemap remap{std::move(new_of), 0};
  remap.num_experts = std::ssize(remap.new_of) - pruned;
  if (remap.num_experts == 0) throw InputError(source + ": no expert is left");
  std::vector<int64_t> old_of(remap.num_experts, -1);
  for (int64_t expert = 0; expert < std::ssize(remap.new_of); ++expert) {
    const int32_t number = remap.new_of[expert];
    if (number == kPruned) continue;
    const std::string what =
        source + ": expert " + std::to_string(expert) + " becomes " + std::to_string(number) + ", ";
    if (number < 0 || number >= remap.num_experts) {
      throw InputError(what + "outside [0, " + std::to_string(remap.num_experts) +
                       "), the experts that are left (-1: pruned)");
    }
    int64_t& old = old_of[number];
    if (old >= 0) throw InputError(what + "as does expert " + std::to_string(old));
    old = expert;
  }
  return remap;
}

ExpertRemap load_expert_remap(const std::string& path) {
  const std::string text = read_text_file(path);
  return make_expert_remap(
      path.ends_with(".json") ? parse_array(text, path) : parse_text(text, path), path);
}

RoutingTable remap_table(const RoutingTable& table, const ExpertRemap& remap, PrunedChoice pruned,
                         std::span<const int64_t> counts, const std::string& source) {
  validate_table(table, std::ssize(remap.new_of), source);
  if (table.top_k > remap.num_experts) {
    throw InputError(source + ": " + std::to_string(table.top_k) + " choices of an id, but " +
                     std::to_string(remap.num_experts) + " experts are left");
  }
  // Each row that a token may take is a row of its own here.
  RoutingTable rows = unfold_spread_rows(table);
  const SpreadCounts spread = counts_of_rows(table, counts);
  bool has_pruned = false;
  for (size_t i = 0; i < rows.experts.size(); ++i) {
    const int32_t old = rows.experts[i];
    rows.experts[i] = remap.new_of[old];
    if (rows.experts[i] != kPruned) continue;
    has_pruned = true;
    if (pruned == PrunedChoice::refuse) {
      const auto row = static_cast<int64_t>(i) / table.top_k;
      throw InputError(
          source + (row < table.vocab_size ? ": row " + std::to_string(row) : ": a spread row") +
          " has the pruned expert " + std::to_string(old) + " (" + setting("fill") +
          " least-loaded gives such choices to others)");
    }
  }
  if (has_pruned) fill_pruned(rows, remap.num_experts, spread.counts);
  RoutingTable remapped = table.spread ? fold_spread_rows(rows, spread) : std::move(rows);
  if (table.spread) remapped.spread->seed = table.spread->seed;
  validate_table(remapped, remap.num_experts, source);
  return remapped;
}

}  // namespace hashep
