// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/sim/sim_options.hpp"

#include <CLI/CLI.hpp>
#include <iostream>

#include "benchmarks/option_types.hpp"
#include "hashep/error.hpp"

namespace hashep::bench {

std::optional<SimOptions> parse_sim_options(int argc, const char* const* argv, bool speaks) {
  SimOptions options;
  CLI::App app("One MoE layer's exchanges on ranks that SimGrid simulates; see benchmarks/sim");
  add_count(app, "--ranks-per-node", options.ranks_per_node, "Ranks that share a node");
  add_count(app, "--tokens-per-rank", options.tokens_per_rank, "Tokens of each rank");
  add_count(app, "--hidden-size", options.hidden_size, "Elements of a row");
  add_count(app, "--ffn-size", options.ffn_size,
            "Of each expert, whose GEMMs are timed by a model");
  add_count(app, "--num-experts", options.num_experts, "Experts");
  add_count(app, "--top-k", options.top_k, "Experts of a token");
  add_count(app, "--vocab-size", options.vocab_size, "Token ids are drawn evenly from so many");
  add_count(app, "--seed", options.seed, "Of the ids and of the hash router");
  std::vector<DType> dtypes = {options.dtype};
  add_dtypes(app, dtypes, "Of rows: fp32 or bf16");
  app.add_option("--transport", options.transports, "mpi (flat), hier")
      ->delimiter(',')
      ->check(CLI::IsMember({"mpi", "hier"}));
  std::vector<std::string> gemm;
  app.add_option("--gemm", gemm, "ROWS:FLOPS_PER_S,... of a GEMM, ascending")
      ->delimiter(',')
      ->required();
  add_json(app, options.json_path);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    if (speaks) std::cout << app.help();
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    throw InputError(error.what());
  }
  if (options.top_k > options.num_experts) throw InputError("--top-k exceeds --num-experts");
  if (dtypes.size() != 1) throw InputError("--dtype takes one type here");
  options.dtype = dtypes.front();
  options.gemm = GemmRates(gemm);
  return options;
}

}  // namespace hashep::bench
