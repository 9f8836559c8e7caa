// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/workloads/workload_names.hpp"

#include <array>
#include <cctype>
#include <string_view>

#include "hashep/error.hpp"

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
    Entry{WorkloadKind::balanced, "W0", "balanced"},
    Entry{WorkloadKind::hot_experts, "W1", "hot-experts"},
    Entry{WorkloadKind::hot_rank, "W2", "hot-rank"},
    Entry{WorkloadKind::ragged_source, "W3", "ragged-source"},
    Entry{WorkloadKind::zero_load, "W4", "zero-load"},
    Entry{WorkloadKind::rotating, "W5", "rotating"},
    Entry{WorkloadKind::burst, "W6", "burst"},
    Entry{WorkloadKind::text, "W7", "text"},
};

}  // namespace

bool has_rules(WorkloadKind kind) {
  return kind >= WorkloadKind::balanced && kind <= WorkloadKind::burst;
}

std::optional<WorkloadKind> find_workload(const std::string& text) {
  std::string number = text;
  if (!number.empty()) number.front() = static_cast<char>(std::toupper(number.front()));
  for (const Entry& entry : kEntries) {
    if (text == entry.name || (!entry.number.empty() && number == entry.number)) return entry.kind;
  }
  return std::nullopt;
}

WorkloadKind parse_workload(const std::string& text) {
  const std::optional<WorkloadKind> found = find_workload(text);
  if (!found) throw InputError("--workload " + text + ": known are " + known_workloads());
  return *found;
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
