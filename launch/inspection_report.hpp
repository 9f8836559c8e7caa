// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "hashep/routing_table.hpp"
#include "runtime/tokens/token_counts.hpp"

namespace hashep {

/// The load that experts put on `ranks` ranks.
struct RankLoad {
  int ranks = 1;
  double max_over_mean = 1.0;
  double bound = 1.0;  // of any table without spread rows
};

/// What one table makes of a corpus.
struct LayerLoads {
  std::string name;  // of the table
  int top_k = 1;
  std::vector<int64_t> loads;          // [num_experts] assignments
  double bound = 1.0;                  // of any table without spread rows
  std::optional<double> spread_bound;  // of any table with as many rows for each id as this one
  std::vector<RankLoad> ranks;
};

/// A frequent token, by the first of the tables.
struct HeavyToken {
  int32_t id = 0;
  std::optional<std::string> piece;  // where a tokenizer was given
  int64_t count = 0;
  double share = 0.0;    // of all tokens
  double load = 0.0;     // share * E / k: what it alone loads each of its experts with, in means
  int64_t num_rows = 1;  // more than 1 for a spread id, which divide its load
  std::vector<int32_t> row;  // its (first) row
};

struct Inspection {
  int64_t num_experts = 1;
  int64_t vocab_size = 0;
  std::map<std::string, std::string> metadata;
  TokenCounts counts;
  std::vector<LayerLoads> layers;
  std::vector<HeavyToken> heaviest;
};

/// The `limit` most frequent ids that occur, by falling count (ties: lower id first).
std::vector<HeavyToken> heaviest_tokens(const TokenCounts& counts, const RoutingTable& table,
                                        int64_t num_experts, int64_t limit);
void name_tokens(const std::string& tokenizer, std::vector<HeavyToken>& tokens);

/// How many loads stand in each of at most `num_bins` equal parts of [least, largest] (fewer
/// where these would be narrower than 0.001 of the mean), as lines of at most 80 characters: "0.93
/// to 1.40 |####  12". Loads are given as multiples of their mean.
std::string histogram_text(const std::vector<int64_t>& loads, int num_bins);

/// For people, at most 80 characters a line but for names in the metadata.
std::string inspection_text(const Inspection& inspection);

/// docs/design.md, "Result JSON": a row per layer, and one per token.
nlohmann::ordered_json inspection_rows(const Inspection& inspection);
nlohmann::ordered_json heaviest_rows(const Inspection& inspection);

}  // namespace hashep
