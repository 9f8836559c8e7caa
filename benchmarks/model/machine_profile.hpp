// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "hashep/dtype.hpp"

namespace hashep::bench {

/// Ways that rows take, each with a speed of its own.
enum class Level {
  copy,     // a rank's own memory, rows in order. Bytes are those read and those written
  permute,  // a rank's own memory, rows in another order. Bytes as for copy
  node,     // memory of another rank of the node: shared memory, NVLink
  message,  // messages between ranks of a node
  network,  // messages between nodes
};
inline constexpr std::array<Level, 5> kLevels = {Level::copy, Level::permute, Level::node,
                                                 Level::message, Level::network};
inline constexpr size_t kNumLevels = kLevels.size();
std::string_view level_name(Level level);

/// A speed that holds while a rank's working set (what it reads and writes in an exchange) is this
/// small.
struct CachedSpeed {
  double working_set_bytes = 0.0;
  double bytes_per_s = 0.0;
  bool operator==(const CachedSpeed&) const = default;
};

/// What it costs to move bytes at one level.
struct LevelCost {
  double latency_s = 0.0;  // once in an exchange that uses the level
  double message_s = 0.0;  // for each message
  double bytes_per_s = 0.0;
  std::vector<CachedSpeed> cached;  // ascending working sets; beyond the last bytes_per_s holds
  std::string source;

  double speed(double working_set_bytes) const;
  bool operator==(const LevelCost&) const = default;
};

/// A GEMM's speed where each expert has so many rows.
struct GemmSpeed {
  double rows = 0.0;
  double flops_per_s = 0.0;
  bool operator==(const GemmSpeed&) const = default;
};

/// What measured times are to predicted ones: most are between these.
struct Band {
  double low = 1.0;
  double high = 1.0;
  std::string source;
  bool operator==(const Band&) const = default;
};

/// A machine, as far as the cost model knows it. benchmarks/machines/*.json; docs/cost-model.md
/// tells how to write one.
struct MachineProfile {
  std::string name;
  std::string description;
  int64_t ranks_per_node = 1;
  // Whether levels move rows at the same time (GPUs, whose links work by themselves), while the
  // next messages are being sent, so that an exchange takes as long as the slowest level or as all
  // its messages, or in turn (a core does all), so that times add.
  bool overlap = false;
  bool network_per_node = false;  // the link to other nodes is one for all ranks of a node
  std::array<LevelCost, kNumLevels> levels;
  std::map<std::string, std::vector<GemmSpeed>> gemm;  // by dtype's name; rows ascend
  std::string gemm_source;
  Band band;
  nlohmann::ordered_json fit;  // how it was fitted, and how well; null where it was not

  LevelCost& at(Level level) { return levels[static_cast<size_t>(level)]; }
  const LevelCost& at(Level level) const { return levels[static_cast<size_t>(level)]; }
};

/// Reads the text of a profile. Level permute is copy where it is left out, message is node.
/// Throws InputError naming `source` and the key where one is missing, unknown or no such value.
MachineProfile parse_profile(const nlohmann::json& value, const std::string& source);
MachineProfile load_profile(const std::string& path);

nlohmann::ordered_json profile_json(const MachineProfile& profile);

/// Flops per second where an expert has `rows` rows: interpolated in the logarithms of both
/// numbers; below the first entry in proportion to rows (weights are read however few the rows
/// are), beyond the last its own. Throws InputError where the profile has no GEMMs of the dtype.
double gemm_speed(const MachineProfile& profile, DType dtype, double rows);

}  // namespace hashep::bench
