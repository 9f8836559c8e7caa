// SPDX-License-Identifier: Apache-2.0
#include "core/exit_code.hpp"

#include <algorithm>
#include <cstdio>

namespace hashep {

void print_error(std::string_view program, std::string_view text) {
  std::string line = std::string(program) + ": error: " + std::string(text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  line += '\n';
  std::fputs(line.c_str(), stderr);  // one call: lines of ranks do not mix
  std::fflush(stderr);
}

}  // namespace hashep
