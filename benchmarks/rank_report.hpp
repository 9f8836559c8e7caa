// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/watch.hpp"
#include "core/atomic_file.hpp"

namespace hashep::bench {

/// What a benchmark on ranks says, once for all of them: lines on stdout, and a JSON file, whole or
/// not at all.
class RankReport {
 public:
  /// Throws CollectiveInputError on all ranks where they differ in version or command line.
  /// Collective.
  RankReport(const std::vector<std::string>& args, const Communicator& comm, Watch& watch);

  /// Begins the JSON file; an empty path asks for none. Rank 0 alone throws InputError where that
  /// fails: to be called within `agree`. Local.
  void open(const std::string& json_path);

  /// The command line.
  std::string args_text() const;
  /// Prints on rank 0.
  void print(const std::string& text) const;

  /// Writes the JSON, where it is asked for, with `extra` fields at its end. Throws
  /// CollectiveRunError where anything is wrong, and writes nothing then. Collective.
  void finish(nlohmann::ordered_json results, int64_t wrong,
              const std::optional<std::string>& gpu = std::nullopt,
              const nlohmann::ordered_json& extra = nlohmann::ordered_json::object());

 private:
  const std::vector<std::string>& args_;
  const Communicator& comm_;
  std::optional<AtomicFile> json_;  // on rank 0
};

}  // namespace hashep::bench
