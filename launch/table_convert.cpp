// SPDX-License-Identifier: Apache-2.0
#include "launch/table_convert.hpp"

#include <cstdio>
#include <optional>
#include <vector>

#include "core/quote.hpp"
#include "hashep/error.hpp"
#include "launch/process/option_types.hpp"
#include "launch/process/result_json.hpp"
#include "launch/single_process.hpp"
#include "launch/table_source.hpp"
#include "launch/token_options.hpp"
#include "runtime/model/insert_tables.hpp"
#include "runtime/model/model_tables.hpp"
#include "runtime/tables/expert_remap.hpp"
#include "runtime/tokens/token_counts.hpp"

namespace hashep {
namespace {

struct ConvertOptions {
  std::string input;
  std::string output;
  std::string into;
  int64_t layer = -1;  // -1: not given
  std::string dtype;   // empty: as the input has it
  int64_t num_experts = 0;
  std::string remap;
  std::string fill = "none";
  std::vector<std::string> tokens;
  TokenFile format;  // of all files

  std::optional<DType> wanted_dtype() const {
    if (dtype.empty()) return std::nullopt;
    return dtype == "i64" ? DType::i64 : DType::i32;
  }
};

void declare(CLI::App& app, ConvertOptions& options) {
  app.add_option("INPUT", options.input, "Table file (.safetensors, .npy) or model folder")
      ->required();
  app.add_option("--output", options.output, "The new table file (.safetensors or .npy)")
      ->type_name("FILE");
  app.add_option("--into", options.into, "Model folder whose tables are replaced")
      ->type_name("DIR");
  add_count(app, "--layer", options.layer, {.least = 0, .most = kMaxModelSize},
            "Only the table of this layer");
  app.get_option("--layer")->default_str("");
  app.add_option("--dtype", options.dtype, "Of the entries; default: as they are")
      ->check(CLI::IsMember({"i32", "i64"}));
  add_count(app, "--num-experts", options.num_experts, {.least = 0, .most = kMaxModelSize},
            "Experts that the tables may name; 0: any (a model folder knows)");
  app.add_option("--remap", options.remap,
                 "New number of each expert, -1 for those that were pruned: a JSON array (.json) "
                 "or numbers in a text")
      ->type_name("FILE");
  app.add_option("--fill", options.fill,
                 "Choices whose expert was pruned: none (an error) or least-loaded (to the "
                 "remaining expert with the least load)")
      ->check(CLI::IsMember({"none", "least-loaded"}));
  app.add_option("--tokens", options.tokens,
                 "Tokens that loads are counted from for --fill; default: each id counts 1")
      ->type_name("FILE...");
  declare_token_format(app, options.format);
}

void validate(const ConvertOptions& options) {
  if (options.output.empty() == options.into.empty()) {
    throw InputError("one of --output FILE and --into DIR is needed");
  }
  const bool is_table_file =
      options.output.ends_with(".safetensors") || options.output.ends_with(".npy");
  if (!options.output.empty() && !is_table_file) {
    throw InputError("--output " + options.output + ": a table is a .safetensors or .npy file");
  }
  if (options.fill != "none" && options.remap.empty()) {
    throw InputError("--fill goes with --remap FILE");
  }
  if (!options.tokens.empty() && options.fill == "none") {
    throw InputError("--tokens goes with --fill least-loaded");
  }
}

/// How often each id counts in loads.
std::vector<int64_t> counts_for(const ConvertOptions& options, int64_t vocab_size) {
  if (options.tokens.empty()) return std::vector<int64_t>(vocab_size, 1);
  std::vector<TokenFile> files;
  for (const std::string& path : options.tokens) {
    files.push_back(options.format);
    files.back().path = path;
  }
  return count_tokens(files, vocab_size).counts;
}

TableSet read_input(const ConvertOptions& options, const std::optional<ExpertRemap>& remap) {
  if (!remap) return read_tables(options.input, options.num_experts);
  const int64_t old_experts = std::ssize(remap->new_of);
  if (options.num_experts > 0 && options.num_experts != old_experts) {
    throw InputError("the remap is for " + std::to_string(old_experts) +
                     " experts, --num-experts is " + std::to_string(options.num_experts));
  }
  return read_tables_to_remap(options.input, *remap);
}

void apply(const ExpertRemap& remap, const ConvertOptions& options, TableSet& set) {
  const PrunedChoice pruned =
      options.fill == "none" ? PrunedChoice::refuse : PrunedChoice::least_loaded;
  std::vector<int64_t> counts;
  for (auto& [name, table] : set.tables) {
    if (std::ssize(counts) != table.vocab_size) counts = counts_for(options, table.vocab_size);
    table = remap_table(table, remap, pruned, counts, options.input + ": " + quote(name));
  }
  set.metadata["remapped"] = std::to_string(remap.new_of.size()) + " experts to " +
                             std::to_string(remap.num_experts) + ", fill " + options.fill;
  std::erase_if(set.metadata, [](const auto& entry) {  // of the old experts
    return entry.first.find("max_over_mean") != entry.first.npos || entry.first.ends_with("_bound");
  });
  if (set.metadata.contains("num_experts")) {
    set.metadata["num_experts"] = std::to_string(remap.num_experts);
  }
}

void save(const ConvertOptions& options, const TableSet& set) {
  const DType dtype = options.wanted_dtype().value_or(set.dtype);
  if (options.output.ends_with(".safetensors")) {
    save_tables(options.output, set.tables, set.metadata, dtype);
    return;
  }
  if (set.tables.size() > 1) {
    throw InputError(options.input + ": " + std::to_string(set.tables.size()) +
                     " tables, and a .npy file holds one (--layer L selects one)");
  }
  save_npy_table(options.output, set.tables[0].table, dtype);
}

/// A table that is of no layer goes into all.
void insert(const ConvertOptions& options, const TableSet& set) {
  const int64_t num_layers = read_model_config(options.into).num_layers;
  std::map<int64_t, RoutingTable> by_layer;
  for (const auto& [name, table] : set.tables) {
    if (const auto layer = layer_of_table(name)) {
      by_layer[*layer] = table;
    } else if (set.tables.size() == 1) {
      for (int64_t every = 0; every < num_layers; ++every) by_layer[every] = table;
    } else {
      throw InputError(options.input + ": tensor " + quote(name) +
                       " is of no layer, and not alone");
    }
  }
  insert_model_tables(options.into, by_layer, options.wanted_dtype());
}

}  // namespace

void table_convert(int argc, char** argv) {
  ConvertOptions options;
  CLI::App app(
      "Moves routing tables between files (.safetensors, .npy), integer types and model folders, "
      "and gives experts new numbers. Numbers take K, M, G (powers of 1024).",
      "hashep table convert");
  declare(app, options);
  if (!parse_options(app, argc, argv, 3)) return;
  const bool layer_given = app.count("--layer") > 0;
  validate(options);

  std::optional<ExpertRemap> remap;
  if (!options.remap.empty()) remap = load_expert_remap(options.remap);
  TableSet set = read_input(options, remap);
  if (layer_given) set = select_layer(std::move(set), options.layer, options.input);
  if (remap) apply(*remap, options, set);
  set.metadata.try_emplace("producer", version_text());
  if (options.into.empty()) {
    save(options, set);
  } else {
    insert(options, set);
  }
  for (const auto& [name, table] : set.tables) {
    std::printf("%s: [%lld, %d], %lld experts\n", printable(name).c_str(),
                static_cast<long long>(table.vocab_size), table.top_k,
                static_cast<long long>(least_num_experts(table)));
  }
}

}  // namespace hashep
