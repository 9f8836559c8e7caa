// SPDX-License-Identifier: Apache-2.0
#include <mpi.h>

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
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

std::string mpi_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  const std::string version(text.data(), static_cast<size_t>(length));
  return version.substr(0, version.find('\n'));
}

int run(int argc, char** argv) {
  int rank = 0;
  int ranks = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const bool speaks = rank == 0;
  try {
    const std::vector<std::string> args(argv + 1, argv + argc);
    const std::optional<SimOptions> options = parse_sim_options(argc, argv, speaks);
    if (!options) {
      flush_stdout();
      return kExitSuccess;
    }
    nlohmann::ordered_json rows = simulate(*options, ranks, rank);
    if (speaks && !options->json_path.empty()) {
      write_result(
          options->json_path,
          result_document({kProgram, args, ranks, std::nullopt, mpi_version()}, std::move(rows)));
    }
    flush_stdout();
    return kExitSuccess;
  } catch (const InputError& error) {  // the same on all ranks
    if (speaks) print_error(kProgram, option_text(error));
    return kExitBadInput;
  } catch (const std::exception& error) {
    print_error(kProgram, "rank " + std::to_string(rank) + ": " + option_text(error));
    MPI_Abort(MPI_COMM_WORLD, kExitFailure);
    return kExitFailure;
  }
}

}  // namespace
}  // namespace hashep::bench

// smpirun loads the program as a library, and calls its main once for each rank.
int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const int code = hashep::bench::run(argc, argv);
  MPI_Finalize();
  return code;
}
