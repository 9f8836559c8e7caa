// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/workloads/workload_names.hpp"

#include <array>
#include <cctype>
#include <string_view>

#include "core/error.hpp"
#include "core/quote.hpp"

namespace hashep::bench {
namespace {

struct Entry {
  WorkloadKind kind;
  std::string_view number;  // empty: it has none
  std::string_view name;
};

constexpr std::array kEntries = {
    Entry{WorkloadKind::uniform, "", "uniform"},
    Entry{WorkloadKind::zipf, "", "zipf"},
    Entry{WorkloadKind::text, "W7", "text"},
};

}  // namespace

WorkloadKind parse_workload(const std::string& text) {
  std::string number = text;
  if (!number.empty()) number.front() = static_cast<char>(std::toupper(number.front()));
  for (const Entry& entry : kEntries) {
    if (text == entry.name || (!entry.number.empty() && number == entry.number)) return entry.kind;
  }
  throw InputError("--workload " + text + ": known are " + known_workloads());
}

std::string workload_name(WorkloadKind kind) {
  for (const Entry& entry : kEntries) {
    if (kind == entry.kind) return std::string(entry.name);
  }
  return "tokens";
}

std::string known_workloads() {
  std::string names;
  for (const Entry& entry : kEntries) {
    if (!names.empty()) names += ", ";
    if (!entry.number.empty()) names += std::string(entry.number) + " ";
    names += entry.name;
  }
  return names;
}

}  // namespace hashep::bench
