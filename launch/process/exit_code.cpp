// SPDX-License-Identifier: Apache-2.0
#include "launch/process/exit_code.hpp"

#include <algorithm>
#include <cstdio>

#include "core/quote.hpp"

namespace hashep {

void print_error(std::string_view program, std::string_view text) {
  std::string one_line(text);
  std::replace(one_line.begin(), one_line.end(), '\n', ' ');
  const std::string line = std::string(program) + ": error: " + printable(one_line) + "\n";
  std::fputs(line.c_str(), stderr);  // one call: lines of ranks do not mix
  std::fflush(stderr);
}

}  // namespace hashep
