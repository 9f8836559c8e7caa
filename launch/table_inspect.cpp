// SPDX-License-Identifier: Apache-2.0
#include "launch/table_inspect.hpp"

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "core/atomic_file.hpp"
#include "core/units.hpp"
#include "hashep/error.hpp"
#include "hashep/table_router.hpp"
#include "launch/inspection_report.hpp"
#include "launch/process/option_types.hpp"
#include "launch/process/result_json.hpp"
#include "launch/progress.hpp"
#include "launch/single_process.hpp"
#include "launch/table_placements.hpp"
#include "launch/table_source.hpp"
#include "launch/token_options.hpp"
#include "runtime/model/model_config.hpp"
#include "runtime/tables/spread_builder.hpp"
#include "runtime/tables/table_loads.hpp"
#include "runtime/tokens/routed_loads.hpp"
#include "runtime/tokens/token_pieces.hpp"

namespace hashep {
namespace {

constexpr int64_t kMaxRanks = int64_t{1} << 20;
constexpr int64_t kMaxTop = 1000;
constexpr int64_t kMaxSeqLen = int64_t{1} << 40;
constexpr int64_t kDefaultSeqLen = 1024;  // as in hashep run

struct InspectOptions {
  std::string table;
  int64_t layer = -1;  // -1: all
  std::vector<std::string> token_files;
  TokenFile format;  // of all files
  int64_t num_experts = 0;
  std::vector<int64_t> ranks = {2, 4, 8};
  std::string placement = "contiguous";
  int64_t seq_len = 0;  // 0: rows of a 2-D token file, else kDefaultSeqLen
  int64_t top = 10;
  std::string json;
  std::optional<Progress::Style> progress;

  std::vector<TokenFile> tokens;
};

void declare(CLI::App& app, InspectOptions& options) {
  app.add_option("--table", options.table, "Table file (.safetensors, .npy) or model folder")
      ->type_name("FILE")
      ->required();
  add_count(app, "--layer", options.layer, {.least = 0, .most = kMaxModelSize},
            "Only the table of this layer");
  app.get_option("--layer")->default_str("");
  app.add_option("--tokens", options.token_files,
                 "Token ids (.npy, .bin) or text (with --tokenizer), any number of files")
      ->type_name("FILE...")
      ->required();
  declare_token_format(app, options.format);
  app.get_option("--tokenizer")
      ->description("SentencePiece model: for text, and for the names of tokens");
  add_count(app, "--num-experts", options.num_experts, {.least = 0, .most = kMaxModelSize},
            "Routed experts of a layer; a model folder knows");
  app.get_option("--num-experts")->default_str("");
  add_counts(app, "--ranks", options.ranks, {.least = 1, .most = kMaxRanks}, "Numbers of ranks");
  app.add_option("--placement", options.placement,
                 "Experts on ranks: contiguous, or a file of `hashep placement` (*.json) for one "
                 "number of ranks");
  add_count(app, "--seq-len", options.seq_len, {.least = 0, .most = kMaxSeqLen},
            "Tokens of a sequence, for tables with spread rows; 0: rows of a 2-D token file, else "
            "1024");
  add_count(app, "--top", options.top, {.least = 0, .most = kMaxTop},
            "How many of the heaviest tokens to show");
  app.add_option("--json", options.json, "Write the result as JSON")->type_name("FILE");
  add_word(app, "--progress", options.progress, progress_words(), "auto, bar, lines or off");
}

void validate(InspectOptions& options) {
  for (const std::string& path : options.token_files) {
    options.tokens.push_back(options.format);
    options.tokens.back().path = path;
  }
  if (options.placement != "contiguous" && options.ranks.size() != 1) {
    throw InputError("--placement FILE.json goes with one number of --ranks");
  }
}

/// The number of experts that the tables are for.
int64_t resolve_num_experts(const InspectOptions& options, const TableSet& set) {
  if (options.num_experts > 0) return options.num_experts;
  const auto recorded = set.metadata.find("num_experts");
  if (recorded == set.metadata.end()) {
    throw InputError("--num-experts N is needed: " + options.table + " does not tell");
  }
  const std::string what = options.table + ": __metadata__ num_experts";
  const int64_t num_experts = parse_count(recorded->second, what);
  require_between(what, num_experts, 1, kMaxModelSize);
  return num_experts;
}

/// Loads over all files. Where rows depend on positions, each file is a stream of its own.
std::vector<int64_t> measure_loads(const InspectOptions& options, const RoutingTable& table,
                                   const TokenCounts& counts, int64_t num_experts) {
  if (!table.spread) return table_loads(table, counts.counts, num_experts);
  const TableRouter router({table}, num_experts);
  const std::array layers = {RoutedLayer{.num_experts = num_experts, .top_k = table.top_k}};
  std::vector<int64_t> loads(num_experts);
  for (const TokenFile& file : options.tokens) {
    const auto stream = open_token_file(file, table.vocab_size);
    const int64_t natural = stream->natural_seq_len().value_or(kDefaultSeqLen);
    const auto of_file =
        routed_loads(router, layers, *stream, options.seq_len > 0 ? options.seq_len : natural,
                     stream->size().value())
            .front();
    for (size_t expert = 0; expert < loads.size(); ++expert) loads[expert] += of_file[expert];
  }
  return loads;
}

TokenCounts count_corpus(const InspectOptions& options, int64_t vocab_size) {
  constexpr int64_t kMiB = int64_t{1} << 20;
  Progress progress(options.progress, token_file_bytes(options.tokens) / kMiB + 1, 1, "MiB", "MiB");
  TokenCounts counts =
      count_tokens(options.tokens, vocab_size, [&](int64_t done) { progress.update(done / kMiB); });
  if (counts.total == 0) throw InputError("--tokens: nothing but padding in them");
  return counts;
}

/// `placements`: of this layer's experts, for each number of ranks.
LayerLoads inspect_layer(const InspectOptions& options, const NamedTable& named,
                         const TokenCounts& counts, const std::vector<Placement>& placements) {
  const int64_t num_experts = placements.front().num_experts();
  const RoutingTable& table = named.table;
  LayerLoads layer{.name = named.name,
                   .top_k = table.top_k,
                   .loads = measure_loads(options, table, counts, num_experts),
                   .bound = load_bound(counts.counts, num_experts, table.top_k),
                   .spread_bound = {},
                   .ranks = {}};
  if (table.spread) {
    layer.spread_bound =
        load_bound(counts_of_rows(table, counts.counts).counts, num_experts, table.top_k);
  }
  for (const Placement& placement : placements) {
    layer.ranks.push_back({.ranks = placement.ep_size(),
                           .max_over_mean = load_factors(layer.loads, placement).rank_max_over_mean,
                           .bound = rank_load_bound(counts.counts, placement, table.top_k)});
  }
  return layer;
}

}  // namespace

void table_inspect(int argc, char** argv) {
  InspectOptions options;
  CLI::App app(
      "Tells what load routing tables make of a corpus: per expert, and per rank for several "
      "numbers of ranks. Numbers take K, M, G (powers of 1024).",
      "hashep table inspect");
  declare(app, options);
  if (!parse_options(app, argc, argv, 3)) return;
  const bool layer_given = app.count("--layer") > 0;
  validate(options);
  std::optional<AtomicFile> json;  // tells before the work whether it can be written to
  if (!options.json.empty()) json.emplace(options.json);

  TableSet set = read_tables(options.table, options.num_experts);
  if (layer_given) set = select_layer(std::move(set), options.layer, options.table);
  const int64_t num_experts = resolve_num_experts(options, set);

  Inspection inspection{.num_experts = num_experts,
                        .vocab_size = set.tables[0].table.vocab_size,
                        .metadata = set.metadata,
                        .counts = {},
                        .layers = {},
                        .heaviest = {}};
  for (const auto& [name, table] : set.tables) {
    validate_table(table, num_experts, options.table + ": " + name);
    if (table.vocab_size == inspection.vocab_size) continue;
    throw InputError(options.table + ": " + name + " has " + std::to_string(table.vocab_size) +
                     " rows, others have " + std::to_string(inspection.vocab_size));
  }
  std::vector<std::vector<Placement>> placements(set.tables.size());  // by layer
  for (const int64_t count : options.ranks) {
    auto of_layers = table_placements(options.placement, std::ssize(set.tables), num_experts,
                                      static_cast<int>(count));
    for (size_t layer = 0; layer < placements.size(); ++layer) {
      placements[layer].push_back(std::move(of_layers[layer]));
    }
  }
  inspection.counts = count_corpus(options, inspection.vocab_size);
  for (size_t layer = 0; layer < set.tables.size(); ++layer) {
    inspection.layers.push_back(
        inspect_layer(options, set.tables[layer], inspection.counts, placements[layer]));
  }
  inspection.heaviest =
      heaviest_tokens(inspection.counts, set.tables[0].table, num_experts, options.top);
  if (!options.format.tokenizer.empty()) {
    name_tokens(options.format.tokenizer, inspection.heaviest);
  }

  std::fputs(inspection_text(inspection).c_str(), stdout);
  if (!json) return;
  ResultHead head{.program = "hashep table inspect",
                  .args = {argv + 1, argv + argc},
                  .ranks = 1,
                  .gpu = {},
                  .mpi = {}};
  nlohmann::ordered_json document = result_document(head, inspection_rows(inspection));
  document["placement"] = options.placement;
  document["metadata"] = inspection.metadata;
  document["heaviest"] = heaviest_rows(inspection);
  json->write(document.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
              "\n");
  json->commit();
}

}  // namespace hashep
