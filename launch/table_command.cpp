// SPDX-License-Identifier: Apache-2.0
#include "launch/table_command.hpp"

#include <cstdio>
#include <string_view>

#include "hashep/error.hpp"
#include "launch/single_process.hpp"
#include "launch/table_build.hpp"
#include "launch/table_convert.hpp"
#include "launch/table_inspect.hpp"

namespace hashep {
namespace {

constexpr const char* kHelp =
    "Usage: hashep table COMMAND [OPTIONS]\n"
    "\n"
    "Commands:\n"
    "  build    make routing tables (tid2eid) from a corpus of tokens\n"
    "  inspect  tell what load tables make of a corpus, per expert and per rank\n"
    "  convert  between files, integer types and model folders; renumber experts\n"
    "\n"
    "`hashep table COMMAND --help` lists a command's options.\n";

}  // namespace

int table_command(int argc, char** argv) {
  return run_single_process([&] {
    const std::string_view command = argc > 2 ? argv[2] : "--help";
    if (command == "build") return table_build(argc, argv);
    if (command == "inspect") return table_inspect(argc, argv);
    if (command == "convert") return table_convert(argc, argv);
    if (command == "--help" || command == "-h" || command == "help") {
      std::fputs(kHelp, stdout);
      return;
    }
    throw InputError("unknown command 'table " + std::string(command) +
                     "'; hashep table --help lists them");
  });
}

}  // namespace hashep
