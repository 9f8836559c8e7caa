// SPDX-License-Identifier: Apache-2.0
#include "tests/standin/environment.hpp"

#include <cstdlib>
#include <initializer_list>
#include <stdexcept>

namespace hashep::test::standin {
namespace {

/// The first of these variables that is set.
int number_from(std::initializer_list<const char*> variables, int if_none) {
  for (const char* const variable : variables) {
    if (const char* const text = std::getenv(variable)) return std::stoi(text);
  }
  return if_none;
}

}  // namespace

// As Open MPI, and MPICH, tell them their processes.
int rank_from_environment() {
  return number_from({"OMPI_COMM_WORLD_RANK", "PMI_RANK"}, 0);
}

int ranks_from_environment() {
  return number_from({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}, 1);
}

PlannedOrder order_from_environment() {
  const char* const value = std::getenv("HASHEP_STANDIN_ORDER");
  if (value == nullptr) return {};
  const std::string text = value;
  const std::string queues = "queues:";
  if (text == "blocking") return {Order::blocking};
  if (text.starts_with(queues)) return {Order::queues, std::stoi(text.substr(queues.size()))};
  throw std::logic_error("HASHEP_STANDIN_ORDER: unknown order " + text);
}

int gpus_from_environment() {
  return number_from({"HASHEP_STANDIN_GPUS"}, 1);
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
