// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <span>
#include <string>

#include "hashep/routing_table.hpp"
#include "launch/table_build_options.hpp"
#include "runtime/tables/table_loads.hpp"
#include "runtime/tokens/token_counts.hpp"

namespace hashep {

/// What the tables of all layers come to on the corpus they were built from: load factors of the
/// worst layer.
struct TableSummary {
  double expert_bound = 1.0;
  double rank_bound = 1.0;  // of the layer that can be evened best
  LoadFactors built;
  LoadFactors random;  // of random tables with the same seeds
  int64_t spread_ids = 0;
  int64_t spread_rows = 0;
};

/// `table_of_layer`: the built table of each layer; `placements`: where its experts stand.
TableSummary summarise_tables(const TableBuildOptions& options, const TokenCounts& counts,
                              std::span<const RoutingTable* const> table_of_layer,
                              std::span<const Placement> placements);

/// What took how long, in seconds.
struct BuildTimes {
  double counting = 0.0;
  double building = 0.0;  // of the tables of all layers
};

/// For people, several lines.
std::string summary_text(const TableBuildOptions& options, const TokenCounts& counts,
                         const TableSummary& summary, const BuildTimes& times);

/// Where the tables come from, for a file's __metadata__.
std::map<std::string, std::string> provenance(const TableBuildOptions& options,
                                              const TokenCounts& counts,
                                              const TableSummary& summary);

}  // namespace hashep
