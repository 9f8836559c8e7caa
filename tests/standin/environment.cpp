// SPDX-License-Identifier: Apache-2.0
#include "tests/standin/environment.hpp"

#include <cstdlib>
#include <stdexcept>

namespace hashep::test::standin {
namespace {

/// As Open MPI, and MPICH, tell it their processes.
int rank_from_environment() {
  for (const char* const variable : {"OMPI_COMM_WORLD_RANK", "PMI_RANK"}) {
    if (const char* const text = std::getenv(variable)) return std::stoi(text);
  }
  return 0;
}

}  // namespace

int gpus_from_environment() {
  const char* const text = std::getenv("HASHEP_STANDIN_GPUS");
  return text == nullptr ? 1 : std::stoi(text);
}

std::optional<PlannedFailure> failure_from_environment(const char* variable) {
  const char* const value = std::getenv(variable);
  if (value == nullptr) return std::nullopt;
  const std::string text = value;
  const size_t what = text.find(':');
  const size_t code = text.find(':', what + 1);
  const size_t at = text.find('@', code + 1);
  if (what == std::string::npos || code == std::string::npos || at == std::string::npos) {
    throw std::logic_error(std::string(variable) + " is not RANK:WHAT:CODE@TIME: " + text);
  }
  if (std::stoi(text) != rank_from_environment()) return std::nullopt;
  return PlannedFailure{.what = text.substr(what + 1, code - what - 1),
                        .code = std::stoi(text.substr(code + 1)),
                        .at = std::stoll(text.substr(at + 1))};
}

}  // namespace hashep::test::standin
