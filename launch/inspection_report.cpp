// SPDX-License-Identifier: Apache-2.0
#include "launch/inspection_report.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "comm/plan/plan_stats.hpp"
#include "core/format.hpp"
#include "core/quote.hpp"
#include "runtime/routing/table_set.hpp"
#include "runtime/tokens/token_pieces.hpp"

namespace hashep {
namespace {

using nlohmann::ordered_json;

constexpr int kHistogramBins = 12;
constexpr double kLeastBinWidth = 0.001;  // of the mean
constexpr int kBarWidth = 48;             // characters

long long ll(int64_t value) {
  return value;
}

double mean_of(const std::vector<int64_t>& loads) {
  const auto total = std::accumulate(loads.begin(), loads.end(), int64_t{0});
  return static_cast<double>(total) / static_cast<double>(loads.size());
}

double least_over_mean(const std::vector<int64_t>& loads) {
  return static_cast<double>(*std::min_element(loads.begin(), loads.end())) / mean_of(loads);
}

std::string layer_title(const LayerLoads& layer) {
  const auto index = layer_of_table(layer.name);
  return index ? "layer " + std::to_string(*index) : printable(layer.name.substr(0, 64));
}

std::string layer_text(const LayerLoads& layer) {
  const auto idle = std::count(layer.loads.begin(), layer.loads.end(), 0);
  std::string text = format("  %-22s%12s%14s\n", layer_title(layer).c_str(), "max/mean", "bound") +
                     format("    %-20s%12.4f%14.4f   least %.4f, %lld of %zu idle\n", "experts",
                            load_factor(layer.loads), layer.bound, least_over_mean(layer.loads),
                            ll(idle), layer.loads.size());
  if (layer.spread_bound) {
    text += format("    %-20s%12s%14.4f\n", "with spread rows", "", *layer.spread_bound);
  }
  for (const RankLoad& rank : layer.ranks) {
    const std::string name = std::to_string(rank.ranks) + " ranks";
    text += format("    %-20s%12.4f%14.4f\n", name.c_str(), rank.max_over_mean, rank.bound);
  }
  return text;
}

/// UTF-8 text, cut or filled with spaces to `width` characters.
std::string column(const std::string& text, int width) {
  std::string cell;
  int characters = 0;
  for (const char byte : text) {
    const bool begins = (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
    if (begins && ++characters > width - 1) break;
    cell += byte;
  }
  return cell + std::string(std::max(width - characters, 1), ' ');
}

/// The experts of a row, as many as fit.
std::string row_text(const HeavyToken& token) {
  std::string text;
  for (const int32_t expert : token.row) {
    const std::string next = (text.empty() ? "" : " ") + std::to_string(expert);
    if (text.size() + next.size() > 24) return text + " ...";
    text += next;
  }
  return token.num_rows > 1 ? text + format(" (+ %lld)", ll(token.num_rows - 1)) : text;
}

std::string heaviest_text(const Inspection& inspection) {
  if (inspection.heaviest.empty()) return "";
  std::string text =
      format("\n  %-10s%-18s%10s%10s  %s\n", "id", "piece", "share", "load/mean", "experts");
  for (const HeavyToken& token : inspection.heaviest) {
    const std::string piece = column(token.piece ? quote(*token.piece) : "", 18);
    text += format("  %-10d%s%8.3f %%%10.3f  %s\n", token.id, piece.c_str(), 100.0 * token.share,
                   token.load, row_text(token).c_str());
  }
  return text;
}

}  // namespace

std::vector<HeavyToken> heaviest_tokens(const TokenCounts& counts, const RoutingTable& table,
                                        int64_t num_experts, int64_t limit) {
  std::vector<int32_t> ids(counts.counts.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto count_of = [&](int32_t id) { return counts.counts[id]; };
  const auto end = ids.begin() + std::min(limit, std::ssize(ids));
  std::partial_sort(ids.begin(), end, ids.end(), [&](int32_t a, int32_t b) {
    return std::pair(-count_of(a), a) < std::pair(-count_of(b), b);
  });
  ids.erase(end, ids.end());
  std::vector<HeavyToken> tokens;
  for (const int32_t id : ids) {
    if (count_of(id) == 0) break;
    HeavyToken& token = tokens.emplace_back();
    token.id = id;
    token.count = count_of(id);
    token.share = static_cast<double>(token.count) / static_cast<double>(counts.total);
    token.load = token.share * static_cast<double>(num_experts) / table.top_k;
    const auto row = table.experts.begin() + int64_t{id} * table.top_k;
    token.row.assign(row, row + table.top_k);
    if (!table.spread) continue;
    const auto& spread_ids = table.spread->ids;
    const auto found = std::lower_bound(spread_ids.begin(), spread_ids.end(), id);
    if (found == spread_ids.end() || *found != id) continue;
    const auto place = static_cast<size_t>(found - spread_ids.begin());
    token.num_rows = table.spread->offsets[place + 1] - table.spread->offsets[place];
  }
  return tokens;
}

void name_tokens(const std::string& tokenizer, std::vector<HeavyToken>& tokens) {
  std::vector<int32_t> ids;
  for (const HeavyToken& token : tokens) ids.push_back(token.id);
  const std::vector<std::string> pieces = token_pieces(tokenizer, ids);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i].piece = pieces[i];
}

std::string histogram_text(const std::vector<int64_t>& loads, int num_bins) {
  const auto [least, largest] = std::minmax_element(loads.begin(), loads.end());
  const int64_t width = *largest - *least;
  const double mean = mean_of(loads);
  // No narrower than what is printed of their ends.
  const double most_bins = static_cast<double>(width) / mean / kLeastBinWidth;
  const auto bins = static_cast<size_t>(std::clamp<double>(most_bins, 1.0, num_bins));
  std::vector<int64_t> counts(bins);
  for (const int64_t load : loads) {
    const double place = width == 0 ? 0.0
                                    : static_cast<double>(load - *least) /
                                          static_cast<double>(width) * static_cast<double>(bins);
    ++counts[std::min(static_cast<size_t>(place), bins - 1)];
  }
  const auto most = static_cast<double>(*std::max_element(counts.begin(), counts.end()));
  const double step = static_cast<double>(width) / static_cast<double>(bins);
  std::string text;
  for (size_t bin = 0; bin < bins; ++bin) {
    const double begin = (static_cast<double>(*least) + step * static_cast<double>(bin)) / mean;
    const auto filled = static_cast<double>(counts[bin]) / most * kBarWidth;
    // A bin that is not empty shows.
    const auto length = static_cast<size_t>(counts[bin] > 0 ? std::max(filled, 1.0) : 0.0);
    text += format("  %8.3f to %8.3f |%s %lld\n", begin, begin + step / mean,
                   std::string(length, '#').c_str(), ll(counts[bin]));
  }
  return text;
}

std::string inspection_text(const Inspection& inspection) {
  std::string text;
  for (const auto& [key, value] : inspection.metadata) {
    text += format("  %-28s", printable(key.substr(0, 64)).c_str()) + quote(value) + "\n";
  }
  const TokenCounts& counts = inspection.counts;
  const auto seen = std::ssize(counts.counts) -
                    std::count(counts.counts.begin(), counts.counts.end(), int64_t{0});
  text += format("%s  %lld tokens of %lld files, and %lld of padding; %lld of %lld ids occur\n\n",
                 text.empty() ? "" : "\n", ll(counts.total), ll(counts.files), ll(counts.padding),
                 ll(seen), ll(inspection.vocab_size));
  for (const LayerLoads& layer : inspection.layers) text += layer_text(layer);
  const auto worst = std::max_element(inspection.layers.begin(), inspection.layers.end(),
                                      [](const LayerLoads& a, const LayerLoads& b) {
                                        return load_factor(a.loads) < load_factor(b.loads);
                                      });
  text += format("\n  experts of %s by load/mean\n", layer_title(*worst).c_str()) +
          histogram_text(worst->loads, kHistogramBins);
  return text + heaviest_text(inspection);
}

ordered_json inspection_rows(const Inspection& inspection) {
  ordered_json rows = ordered_json::array();
  for (const LayerLoads& layer : inspection.layers) {
    ordered_json row{{"name", layer.name}};
    const auto index = layer_of_table(layer.name);
    row["layer"] = index ? ordered_json(*index) : ordered_json();
    row["vocab_size"] = inspection.vocab_size;
    row["num_experts"] = inspection.num_experts;
    row["top_k"] = layer.top_k;
    row["tokens"] = inspection.counts.total;
    row["expert_max_over_mean"] = load_factor(layer.loads);
    row["expert_min_over_mean"] = least_over_mean(layer.loads);
    row["zero_load_experts"] = std::count(layer.loads.begin(), layer.loads.end(), 0);
    row["bound"] = layer.bound;
    row["spread_bound"] = layer.spread_bound ? ordered_json(*layer.spread_bound) : ordered_json();
    for (const RankLoad& rank : layer.ranks) {
      row["rank_max_over_mean"][std::to_string(rank.ranks)] = rank.max_over_mean;
      row["rank_bound"][std::to_string(rank.ranks)] = rank.bound;
    }
    row["loads"] = layer.loads;
    rows.push_back(std::move(row));
  }
  return rows;
}

ordered_json heaviest_rows(const Inspection& inspection) {
  ordered_json rows = ordered_json::array();
  for (const HeavyToken& token : inspection.heaviest) {
    rows.push_back({{"id", token.id},
                    {"piece", token.piece ? ordered_json(*token.piece) : ordered_json()},
                    {"count", token.count},
                    {"share", token.share},
                    {"load_over_mean", token.load},
                    {"rows", token.num_rows},
                    {"experts", token.row}});
  }
  return rows;
}

}  // namespace hashep
