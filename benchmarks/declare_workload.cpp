// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/declare_workload.hpp"

#include "benchmarks/option_types.hpp"
#include "launch/process/source_words.hpp"

namespace hashep::bench {

void declare_workload(CLI::App& command, WorkloadOptions& options) {
  command.add_option("--workload", options.name,
                     "Token ids and their routing: " + known_workloads() +
                         " [uniform, or with --tokens the file]");
  command
      .add_option("--tokens", options.tokens.path,
                  "Token ids (.npy, .bin) or text (with --tokenizer)")
      ->type_name("FILE");
  const auto take_dtype = [&options](const std::string& text) {
    options.tokens.token_dtype = parse_word("--token-dtype", text, token_dtype_words());
  };
  command.add_option_function<std::string>(
      "--token-dtype", take_dtype,
      "Of binary ids (.bin, or other names without --tokenizer): u16, u32 or i32 "
      "[as an llm.c header says, else u16]");
  command.add_option("--tokenizer", options.tokens.tokenizer, "SentencePiece model for text")
      ->type_name("FILE");
  command
      .add_option("--padding-id", options.tokens.padding_id,
                  "Id of padding, beside -1: such tokens go to no expert")
      ->type_name("ID")
      ->needs(command.get_option("--tokens"));
  add_count(command, "--vocab-size", options.vocab_size, "Token ids are in [0, this) [32K]");
  command.add_option(
      "--router", options.router,
      "Of uniform, zipf and text: token, position, previous, bigram (hashes), table, "
      "or balanced (a greedy table from the ids) [token]");
  command
      .add_option("--table", options.table, "tid2eid table (.safetensors, .npy) for --router table")
      ->type_name("FILE");
  add_count(command, "--seed", options.seed, "Seed of ids and routers [1]");
}

}  // namespace hashep::bench
