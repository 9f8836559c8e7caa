// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "benchmarks/exchange_bench.hpp"
#include "benchmarks/layer_bench.hpp"
#include "benchmarks/options.hpp"
#include "benchmarks/packed_experts.hpp"
#include "benchmarks/plan_exchange_bench.hpp"
#include "benchmarks/scale_bench.hpp"
#include "hashep/error.hpp"
#include "launch/process/exit_code.hpp"
#include "launch/process/option_text.hpp"
#include "launch/process/rank_program.hpp"
#include "launch/process/result_json.hpp"
#include "launch/process/standard_streams.hpp"

namespace hashep::bench {
namespace {

constexpr const char* kProgram = "hashep-bench";

nlohmann::ordered_json measure_here(const Options& options) {
  if (options.command == "plan") return measure_plan(options.plan);
  if (options.command == "fit") return run_fit(options.fit);
  if (options.command == "check-model") return run_check(options.check);
  if (options.command == "scale") return run_predict(options.predict);
  if (options.experts.packed) return measure_packed_experts(options.experts);
  return measure_experts(options.experts);
}

/// The subcommands of one process, which need no MPI.
int run_here(const std::vector<std::string>& args, int argc, const char* const* argv) {
  const std::optional<Options> options = parse_options(argc, argv, true);
  if (!options) return kExitSuccess;
  nlohmann::ordered_json results = measure_here(*options);
  if (!options->json_path.empty()) {
    write_result(
        options->json_path,
        result_document({kProgram, args, 1, std::nullopt, std::nullopt}, std::move(results)));
  }
  return kExitSuccess;
}

int run_with_mpi(const std::vector<std::string>& args, int argc, char** argv) {
  std::optional<Options> options;
  RankProgram program;
  program.name = kProgram;
  program.parse = [&](bool speaks) -> std::optional<double> {
    options = parse_options(argc, argv, speaks);
    if (!options) return std::nullopt;
    return options->deadline();
  };
  program.work = [&](const Communicator& comm, Watch& watch) {
    if (options->command == "plan") {
      measure_plan_exchange(options->plan, options->json_path, args, comm, watch);
    } else if (options->command == "layer") {
      measure_layer(options->layer, args, comm, watch);
    } else if (options->command == "scale") {
      measure_scale(options->scale, args, comm, watch);
    } else {
      const bool on_gpus = options->exchange.device == Device::cuda;
      measure_exchange(options->exchange,
                       on_gpus ? make_cuda_exchange_setup : make_cpu_exchange_setup, args, comm,
                       watch);
    }
  };
  return run_on_ranks(&argc, &argv, program);
}

int run(int argc, char** argv) {
  secure_standard_streams();
  const std::vector<std::string> args(argv + 1, argv + argc);
  try {
    if (runs_on_ranks(args)) return run_with_mpi(args, argc, argv);
    const int code = run_here(args, argc, argv);
    flush_stdout();
    return code;
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
