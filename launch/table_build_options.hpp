// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hashep/dtype.hpp"
#include "launch/progress.hpp"
#include "runtime/tables/targeted_table.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep {

/// The options of `hashep table build`.
struct TableBuildOptions {
  std::vector<TokenFile> tokens;
  int64_t vocab_size = 0;
  int64_t num_experts = 0;
  int64_t top_k = 1;
  int64_t num_layers = 1;
  std::string method;  // random, balanced, dispersed or clustered
  BalanceTarget target = BalanceTarget::expert;
  int64_t ranks = 0;                     // 0: not given
  std::string placement = "contiguous";  // or a placement file, *.json
  double spread = 0.0;                   // limit of spread_counts; 0: no spread rows
  std::string embeddings;
  int64_t threads = 0;  // 0: choose_threads
  int64_t seed = 0;
  DType dtype = DType::i32;  // of the table's entries
  std::string output;
  std::optional<Progress::Style> progress;

  bool has_layers = false;  // --num-layers was given: a tensor for each layer
};

/// As on the command line: expert, rank, both.
std::string target_name(BalanceTarget target);

/// Parses the command line, whose argv[2] is "build". Nothing where --help or --version was
/// answered. Throws InputError, also where options do not go together.
std::optional<TableBuildOptions> parse_table_build(int argc, char** argv);

}  // namespace hashep
