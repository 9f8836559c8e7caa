// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "benchmarks/sim/sim_bench.hpp"
#include "hashep/error.hpp"
#include "launch/process/exit_code.hpp"
#include "launch/process/option_text.hpp"
#include "launch/process/result_json.hpp"
#include "launch/process/standard_streams.hpp"

namespace hashep::bench {
namespace {

constexpr const char* kProgram = "hashep-sim";
constexpr double kDeadline = 3600.0;  // seconds on the clock of the machine that simulates

int run(int argc, char** argv) {
  const Communicator world(MPI_COMM_WORLD);
  const bool speaks = world.rank() == 0;
  try {
    const std::vector<std::string> args(argv + 1, argv + argc);
    const std::optional<SimOptions> options = parse_sim_options(argc, argv, speaks);
    if (!options) {
      flush_stdout();
      return kExitSuccess;
    }
    Watch watch(world, kDeadline, nullptr);
    nlohmann::ordered_json rows = simulate(*options, world, watch);
    if (speaks && !options->json_path.empty()) {
      write_result(options->json_path, result_document({kProgram, args, world.size(), std::nullopt,
                                                        MpiSession::library_version()},
                                                       std::move(rows)));
    }
    flush_stdout();
    return kExitSuccess;
  } catch (const InputError& error) {  // the same on all ranks
    if (speaks) print_error(kProgram, option_text(error));
    return kExitBadInput;
  } catch (const std::exception& error) {
    print_error(kProgram, "rank " + std::to_string(world.rank()) + ": " + option_text(error));
    MPI_Abort(MPI_COMM_WORLD, kExitFailure);
    return kExitFailure;
  }
}

}  // namespace
}  // namespace hashep::bench

// smpirun loads the program as a library, and calls its main once for each rank.
int main(int argc, char** argv) {
  // Not MpiSession, which asks for MPI_THREAD_FUNNELED: SMPI offers MPI_THREAD_SINGLE.
  MPI_Init(&argc, &argv);
  const int code = hashep::bench::run(argc, argv);
  MPI_Finalize();
  return code;
}
