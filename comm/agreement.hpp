// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/thrown_on_all_ranks.hpp"
#include "comm/watch.hpp"

namespace hashep {

/// Bad input that all ranks know of, though perhaps one alone has met it. Thrown on all ranks
/// alike, so that none waits for one that has left; `is_reporter` says whether this rank prints
/// (the lowest one that failed), the text being that rank's own.
class CollectiveInputError : public InputError, public ReporterKnown, public ThrownOnAllRanks {
 public:
  CollectiveInputError(const std::string& text, bool is_reporter)
      : InputError(text), ReporterKnown(is_reporter) {}
};

/// A failure while running that all ranks know of, in the same way.
class CollectiveRunError : public RunError, public ReporterKnown, public ThrownOnAllRanks {
 public:
  CollectiveRunError(const std::string& text, bool is_reporter)
      : RunError(text), ReporterKnown(is_reporter) {}
};

/// Runs `work` on each rank; where it fails on any, throws on all, so that no rank goes on to wait
/// for one that has left: CollectiveInputError where the lowest rank that failed threw InputError,
/// else CollectiveRunError. Errors of which the reporter is known pass as they are. Where `comm` is
/// a part of the ranks of `watch`, the others know nothing of it: the lowest rank that failed then
/// throws InputError or RunError, which it is to report, and the rest ReportedByPeer. Collective.
void agree(const Communicator& comm, Watch& watch, const std::function<void()>& work);

/// One int64 of each rank on all ranks, in rank order. Collective.
std::vector<int64_t> gather_word(const Communicator& comm, Watch& watch, int64_t word);

/// A setting and its value on this rank, as text.
using Setting = std::pair<std::string, std::string>;

/// Throws CollectiveInputError on all ranks where ranks differ in any setting, naming the setting,
/// two ranks and their values. All ranks pass the same names in the same order, or differ in
/// version, which is then what is named. Collective.
void require_same_settings(const Communicator& comm, Watch& watch,
                           const std::vector<Setting>& settings);

}  // namespace hashep
