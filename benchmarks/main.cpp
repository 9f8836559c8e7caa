// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "benchmarks/experts_bench.hpp"
#include "benchmarks/plan_bench.hpp"
#include "core/error.hpp"
#include "core/narrow.hpp"
#include "core/result_json.hpp"
#include "core/units.hpp"

namespace hashep::bench {
namespace {

/// What all measurements take.
struct CommonOptions {
  Sampling sampling;
  std::string json_path;
};

void add_common(CLI::App& app, CommonOptions& options) {
  app.add_option("-n,--samples", options.sampling.samples, "Samples of each row")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("-w,--warmup", options.sampling.warmup, "Runs before the first sample")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("-J,--json", options.json_path, "Write the result here as JSON");
}

/// An option that takes numbers with K, M and G suffixes.
void add_counts(CLI::App& app, const std::string& name, std::vector<int64_t>& values,
                const std::string& help) {
  app.add_option_function<std::vector<std::string>>(
         name,
         [&values, name](const std::vector<std::string>& texts) {
           values.clear();
           for (const std::string& text : texts) values.push_back(parse_count(text, name));
           for (const int64_t value : values) {
             if (value < 1) throw InputError(name + " must be at least 1");
           }
         },
         help)
      ->delimiter(',');
}

void add_count(CLI::App& app, const std::string& name, int64_t& value, const std::string& help) {
  app.add_option_function<std::string>(
      name,
      [&value, name](const std::string& text) {
        value = parse_count(text, name);
        if (value < 1) throw InputError(name + " must be at least 1");
      },
      help);
}

void write_json(const CommonOptions& common, const std::vector<std::string>& args,
                nlohmann::ordered_json results) {
  if (common.json_path.empty()) return;
  write_result(
      common.json_path,
      result_document({"hashep-bench", args, 1, std::nullopt, std::nullopt}, std::move(results)));
}

void declare_experts(CLI::App& command, ExpertsOptions& options) {
  add_counts(command, "--rows", options.rows_per_expert, "Rows per expert [16,64,128,256,512]");
  add_counts(command, "--ffn-size", options.ffn_sizes, "Widths of the experts [4096,1024]");
  add_count(command, "--hidden-size", options.hidden_size, "Width of a token [1024]");
  add_count(command, "--num-experts", options.num_experts, "Experts, taken in turn [8]");
  command.add_option("--threads", options.threads, "Threads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  const std::map<std::string, DType> dtypes{{"fp32", DType::f32}, {"bf16", DType::bf16}};
  command.add_option("--dtype", options.dtypes, "fp32, bf16 [fp32,bf16]")
      ->transform(CLI::CheckedTransformer(dtypes))
      ->delimiter(',');
  const std::map<std::string, Activation> activations{
      {"relu", Activation::relu}, {"gelu", Activation::gelu}, {"silu", Activation::silu}};
  command.add_option("--activation", options.activations, "relu, gelu, silu [relu,silu]")
      ->transform(CLI::CheckedTransformer(activations))
      ->delimiter(',');
}

void declare_plan(CLI::App& command, PlanOptions& options) {
  command.add_option("--router", options.routers, "table, token, position, previous, bigram [all]")
      ->delimiter(',');
  add_counts(command, "--top-k", options.top_k, "Experts of a token [1,6]");
  add_count(command, "--tokens-per-rank", options.tokens, "Tokens to plan [1M]");
  add_count(command, "--num-experts", options.num_experts, "Experts [256]");
  add_count(command, "--vocab-size", options.vocab_size, "Rows of the table [129280]");
  add_count(command, "--ep-size", options.ep_size, "Ranks of the plan [8]");
}

int run(const std::vector<std::string>& args, int argc, const char* const* argv) {
  CLI::App app{"Measures the parts of HashEP: checks first, then times, then writes JSON."};
  app.set_version_flag("--version",
                       "hashep-bench " + std::string(version()) + " " + std::string(commit()));
  app.require_subcommand(1);

  CommonOptions common;
  ExpertsOptions experts;
  PlanOptions plan;
  CLI::App& experts_command = *app.add_subcommand(
      "experts", "Experts (GEMM -> activation -> GEMM) beside oneDNN's GEMMs alone");
  CLI::App& plan_command =
      *app.add_subcommand("plan", "Static routing and exchange plans, ns per token, one core");
  for (CLI::App* command : {&experts_command, &plan_command}) add_common(*command, common);
  declare_experts(experts_command, experts);
  declare_plan(plan_command, plan);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    throw InputError(error.what());
  }
  experts.sampling = common.sampling;
  plan.sampling = common.sampling;
  write_json(common, args, plan_command.parsed() ? measure_plan(plan) : measure_experts(experts));
  return 0;
}

}  // namespace
}  // namespace hashep::bench

int main(int argc, char** argv) {
  try {
    return hashep::bench::run({argv + 1, argv + argc}, argc, argv);
  } catch (const hashep::InputError& error) {
    std::fprintf(stderr, "hashep-bench: error: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hashep-bench: error: %s\n", error.what());
    return 1;
  }
}
