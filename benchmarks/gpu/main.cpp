// SPDX-License-Identifier: Apache-2.0
// hashep-bench-gpu: what one GPU costs. Needs no MPI.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "benchmarks/gpu/launch_bench.hpp"
#include "benchmarks/gpu/layer_bench.hpp"
#include "benchmarks/gpu/rows_bench.hpp"
#include "benchmarks/option_types.hpp"
#include "core/cuda/device.hpp"
#include "hashep/error.hpp"
#include "hashep/version.hpp"
#include "launch/process/exit_code.hpp"
#include "launch/process/option_text.hpp"
#include "launch/process/standard_streams.hpp"

namespace hashep::bench {
namespace {

constexpr const char* kProgram = "hashep-bench-gpu";

/// The command line.
struct Options {
  std::string command;
  std::string json_path;
  Sampling sampling{.warmup = 3, .samples = 30};
  RowsOptions rows;
  LayerOptions layer;
  LayerSizes launch{.num_layers = 3, .tokens = 128};
};

void add_layer_sizes(CLI::App& command, LayerSizes& sizes) {
  add_count(command, "--tokens", sizes.tokens, "Tokens of a batch");
  add_count(command, "--hidden-size", sizes.hidden_size, "Width of a token [4096]");
  add_count(command, "--ffn-size", sizes.ffn_size, "Width of an expert [2048]");
  add_count(command, "--num-experts", sizes.num_experts, "Experts on this GPU [32]");
  add_count(command, "--top-k", sizes.top_k, "Experts of a token [6]");
}

void declare(CLI::App& app, Options& options) {
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string(version()) + " (" + std::string(commit()) + ")");
  CLI::App* const rows = app.add_subcommand("rows", "Dispatch, combine and gate beside a copy");
  add_count(*rows, "--tokens", options.rows.tokens, "Tokens [8K]");
  add_count(*rows, "--hidden-size", options.rows.hidden_size, "Width of a token [4K]");
  add_count(*rows, "--num-experts", options.rows.num_experts, "Experts [64]");
  add_counts(*rows, "--top-k", options.rows.top_k, "Experts of a token [1,6]");
  add_dtypes(*rows, options.rows.dtypes, "fp32, bf16 [both]");
  CLI::App* const layer = app.add_subcommand("layer", "One layer beside its GEMMs alone");
  add_layer_sizes(*layer, options.layer.sizes);
  add_counts(*layer, "--lanes", options.layer.lanes, "Streams for experts [1,2,4,8]");
  layer
      ->add_option("--dump", options.layer.dump_path,
                   "Write the layer here for peers (safetensors)")
      ->type_name("FILE");
  CLI::App* const launch = app.add_subcommand("launch", "What a step costs the host");
  add_layer_sizes(*launch, options.launch);
  add_count(*launch, "--num-layers", options.launch.num_layers, "Layers [3]");
  for (CLI::App* const command : {rows, layer, launch}) {
    add_sampling(*command, options.sampling);
    add_json(*command, options.json_path);
    command->callback([&options, command] { options.command = command->get_name(); });
  }
}

std::optional<Options> parse(int argc, char** argv) {
  Options options;
  CLI::App app("Measures one GPU; each result is checked before it is timed.", kProgram);
  declare(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return std::nullopt;
  } catch (const CLI::CallForVersion& text) {
    std::printf("%s\n", text.what());
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    throw InputError(error.what());
  }
  if (options.rows.num_experts < options.rows.top_k.back()) {
    throw InputError("--num-experts: fewer than --top-k");
  }
  return options;
}

/// Returns how many rows were wrong.
int64_t measure(const Options& options, const std::vector<std::string>& args) {
  const GpuSearch search = find_gpus();
  if (search.count == 0) throw InputError("no GPU was found (" + search.why_none + ")");
  GpuRun run{.gpu = use_gpu(0), .sampling = options.sampling, .row = {}};
  run.row.device = "cuda";
  std::printf("%s\n", run.gpu.description.c_str());
  std::vector<MeasuredRow> rows;
  if (options.command == "rows") rows = measure_rows(options.rows, run);
  if (options.command == "layer") rows = measure_layer(options.layer, run);
  if (options.command == "launch") rows = measure_launch(options.launch, run);
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  int64_t wrong = 0;
  for (const MeasuredRow& row : rows) {
    results.push_back(row_json(row));
    wrong += row.wrong.value_or(0);
  }
  if (!options.json_path.empty()) {
    write_result(options.json_path,
                 result_document({kProgram, args, 1, run.gpu.description, std::nullopt},
                                 std::move(results)));
  }
  return wrong;
}

int run(int argc, char** argv) {
  secure_standard_streams();
  try {
    const std::optional<Options> options = parse(argc, argv);
    const int64_t wrong = options ? measure(*options, {argv + 1, argv + argc}) : 0;
    flush_stdout();
    if (wrong == 0) return kExitSuccess;
    print_error(kProgram, std::to_string(wrong) + " wrong: see the rows above");
    return kExitFailure;
  } catch (const InputError& error) {
    print_error(kProgram, option_text(error));
    return kExitBadInput;
  } catch (const std::exception& error) {
    print_error(kProgram, option_text(error));
    return kExitFailure;
  }
}

}  // namespace
}  // namespace hashep::bench

int main(int argc, char** argv) {
  return hashep::bench::run(argc, argv);
}
