// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <string_view>

#include "launch/convert_command.hpp"
#include "launch/placement_command.hpp"
#include "launch/plan_command.hpp"
#include "launch/process/result_json.hpp"
#include "launch/process/standard_streams.hpp"
#include "launch/run_command.hpp"
#include "launch/single_process.hpp"
#include "launch/table_command.hpp"
#include "launch/train/train_command.hpp"

namespace {

constexpr const char* kHelp =
    "hashep: expert-parallel MoE layers with static (hash or table) routing\n"
    "\n"
    "Usage: hashep COMMAND [OPTIONS]\n"
    "\n"
    "Commands:\n"
    "  run        run layers over batches of tokens, on one rank or under mpirun\n"
    "  train      train a small language model with such layers on text\n"
    "  table      make routing tables from a corpus of tokens\n"
    "  plan       load, traffic and memory of jobs of any size, from token ids alone\n"
    "  convert    writes a model folder with its experts in FP4, FP8 or bf16\n"
    "  placement  places experts on ranks by what a corpus puts on them\n"
    "\n"
    "Options:\n"
    "  --help     this text; `hashep COMMAND --help` lists a command's options\n"
    "  --version  version and commit\n"
    "\n"
    "Examples:\n"
    "  hashep run --num-experts 16 --top-k 2 --check\n"
    "      one rank, a synthetic model, seeded tokens, checked against a naive oracle\n"
    "  mpirun -np 4 hashep run --tokens ids.bin --vocab-size 32000 --num-experts 64 --steps 100\n"
    "      four ranks, 16 experts each, real token ids\n"
    "  mpirun -np 2 hashep run --model DIR --tokens ids.npy --dtype bf16 --output out.safetensors\n"
    "      the hash-routed layers of a DeepSeek-V4-shaped folder, one step, outputs kept\n"
    "  mpirun -np 2 hashep train --tokens ids.bin --vocab-size 8000 --save DIR --resume\n"
    "      a neural n-gram model; the same bits on any number of ranks, killed or not\n"
    "  hashep table build --tokens ids.bin --vocab-size 32000 --num-experts 64 --ranks 8 \\\n"
    "      --method balanced --output table.safetensors\n"
    "      a routing table with even loads, for hashep run --table\n"
    "\n"
    "Exit codes: 0 success, 1 failure while running, 2 bad input.\n";

}  // namespace

int main(int argc, char** argv) {
  hashep::secure_standard_streams();
  const std::string_view command = argc > 1 ? argv[1] : "--help";
  if (command == "run") return hashep::run_command(argc, argv);
  if (command == "train") return hashep::train_command(argc, argv);
  if (command == "table") return hashep::table_command(argc, argv);
  if (command == "plan") return hashep::plan_command(argc, argv);
  if (command == "convert") return hashep::convert_command(argc, argv);
  if (command == "placement") return hashep::placement_command(argc, argv);
  if (command == "--version") {
    return hashep::run_single_process([] { std::printf("%s\n", hashep::version_text().c_str()); });
  }
  if (command == "--help" || command == "-h" || command == "help") {
    return hashep::run_single_process([] { std::fputs(kHelp, stdout); });
  }
  return hashep::unknown_command(argc, argv);
}
