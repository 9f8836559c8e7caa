// SPDX-License-Identifier: Apache-2.0
#include "launch/exit_code.hpp"

#include <algorithm>
#include <cstdio>

namespace hashep {

void print_error(const std::string& text) {
  std::string line = "hashep: error: " + text;
  std::replace(line.begin(), line.end(), '\n', ' ');
  line += '\n';
  std::fputs(line.c_str(), stderr);  // one call: lines of ranks do not mix
  std::fflush(stderr);
}

}  // namespace hashep
