// SPDX-License-Identifier: Apache-2.0
#include "launch/convert_command.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <optional>
#include <string>

#include "core/units.hpp"
#include "launch/process/option_types.hpp"
#include "launch/single_process.hpp"
#include "runtime/model/convert_experts.hpp"

namespace hashep {
namespace {

void convert(int argc, char** argv) {
  CLI::App app(
      "Writes a model folder anew with the routed experts of its hash-routed layers as FP4, FP8 or "
      "bf16. FP4 has a scale for 32 inputs, FP8 for weight_block_size of config.json (128 x 128 by "
      "default); scales are powers of two, the least with which no value of the block is cut, and "
      "values are rounded to the nearest, ties to even. FP4 becomes FP8 and bf16 without a change.",
      "hashep convert");
  std::string model;
  std::string experts;
  std::string output;
  app.add_option("--model", model, "Folder with config.json and *.safetensors")
      ->type_name("DIR")
      ->required();
  app.add_option("--experts", experts, "What experts become: fp4, fp8 or bf16")
      ->check(CLI::IsMember({"fp4", "fp8", "bf16"}))
      ->required();
  app.add_option("--output", output, "The new folder, which must not be there")
      ->type_name("DIR")
      ->required();
  if (!parse_options(app, argc, argv, 2)) return;
  std::optional<QuantFormat> format;
  if (experts == "fp4") format = QuantFormat::fp4_e2m1;
  if (experts == "fp8") format = QuantFormat::fp8_e4m3;
  const ExpertConversion done = convert_experts(model, output, format);
  std::printf("%s: %lld matrices of routed experts as %s, %s where they took %s\n", output.c_str(),
              static_cast<long long>(done.matrices), experts.c_str(),
              format_bytes(done.bytes_after).c_str(), format_bytes(done.bytes_before).c_str());
  if (done.rounded == 0) {
    std::printf("all values are as they were\n");
  } else {
    std::printf("%lld values were rounded; relative error of a matrix at most %.2e\n",
                static_cast<long long>(done.rounded), done.largest_error);
  }
}

}  // namespace

int convert_command(int argc, char** argv) {
  return run_single_process([&] { convert(argc, argv); });
}

}  // namespace hashep
