// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/machine_profile.hpp"

#include <algorithm>
#include <cmath>

#include "benchmarks/model/json_fields.hpp"
#include "core/strict_json.hpp"
#include "hashep/error.hpp"

namespace hashep::bench {
namespace {

LevelCost read_level(JsonFields fields) {
  LevelCost cost;
  cost.bytes_per_s = fields.positive("bytes_per_s");
  if (fields.has("latency_s")) cost.latency_s = fields.not_negative("latency_s");
  if (fields.has("message_s")) cost.message_s = fields.not_negative("message_s");
  if (fields.has("cached")) {
    for (const auto& [bytes, speed] : fields.pairs("cached")) cost.cached.push_back({bytes, speed});
  }
  cost.source = fields.text("source");
  if (cost.source.empty()) fields.fail("source", "must say where the figures are from");
  fields.finish();
  return cost;
}

void read_levels(JsonFields fields, MachineProfile& profile) {
  for (const Level level : kLevels) {
    const bool may_be_missing = level == Level::permute || level == Level::message;
    if (may_be_missing && !fields.has(level_name(level))) {
      profile.at(level) = profile.at(level == Level::permute ? Level::copy : Level::node);
    } else {
      profile.at(level) = read_level(fields.object(level_name(level)));
    }
  }
  fields.finish();
}

void read_gemm(JsonFields fields, MachineProfile& profile) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const std::string name(dtype_name(dtype));
    if (!fields.has(name)) continue;
    for (const auto& [rows, speed] : fields.pairs(name))
      profile.gemm[name].push_back({rows, speed});
  }
  profile.gemm_source = fields.text("source");
  fields.finish();
}

Band read_band(JsonFields fields) {
  Band band{fields.positive("low"), fields.positive("high"), fields.text("source")};
  if (band.high < band.low) fields.fail("high", "must be at least low");
  fields.finish();
  return band;
}

nlohmann::ordered_json level_json(const LevelCost& cost) {
  nlohmann::ordered_json json{{"bytes_per_s", cost.bytes_per_s},
                              {"latency_s", cost.latency_s},
                              {"message_s", cost.message_s}};
  for (const CachedSpeed& step : cost.cached) {
    json["cached"].push_back({step.working_set_bytes, step.bytes_per_s});
  }
  json["source"] = cost.source;
  return json;
}

}  // namespace

std::string_view level_name(Level level) {
  constexpr std::array<std::string_view, kNumLevels> kNames = {"copy", "permute", "node", "message",
                                                               "network"};
  return kNames[static_cast<size_t>(level)];
}

double LevelCost::speed(double working_set_bytes) const {
  for (const CachedSpeed& step : cached) {
    if (working_set_bytes <= step.working_set_bytes) return step.bytes_per_s;
  }
  return bytes_per_s;
}

MachineProfile parse_profile(const nlohmann::json& value, const std::string& source) {
  JsonFields fields(value, source);
  MachineProfile profile;
  profile.name = fields.text("name");
  profile.description = fields.text("description");
  profile.ranks_per_node = fields.count("ranks_per_node", int64_t{1} << 20);
  profile.overlap = fields.flag("overlap", false);
  profile.network_per_node = fields.flag("network_per_node", false);
  read_levels(fields.object("levels"), profile);
  if (fields.has("gemm")) read_gemm(fields.object("gemm"), profile);
  if (fields.has("band")) profile.band = read_band(fields.object("band"));
  if (fields.has("fit")) profile.fit = nlohmann::ordered_json::parse(fields.at("fit").dump());
  fields.finish();
  return profile;
}

MachineProfile load_profile(const std::string& path) {
  return parse_profile(read_json_object(path), path);
}

nlohmann::ordered_json profile_json(const MachineProfile& profile) {
  nlohmann::ordered_json levels;
  for (const Level level : kLevels) {
    levels[std::string(level_name(level))] = level_json(profile.at(level));
  }
  nlohmann::ordered_json json{{"name", profile.name},
                              {"description", profile.description},
                              {"ranks_per_node", profile.ranks_per_node},
                              {"overlap", profile.overlap},
                              {"network_per_node", profile.network_per_node},
                              {"levels", std::move(levels)}};
  if (!profile.gemm.empty()) {
    for (const auto& [dtype, speeds] : profile.gemm) {
      for (const GemmSpeed& each : speeds) {
        json["gemm"][dtype].push_back({each.rows, each.flops_per_s});
      }
    }
    json["gemm"]["source"] = profile.gemm_source;
  }
  json["band"] = {
      {"low", profile.band.low}, {"high", profile.band.high}, {"source", profile.band.source}};
  if (!profile.fit.is_null()) json["fit"] = profile.fit;
  return json;
}

double gemm_speed(const MachineProfile& profile, DType dtype, double rows) {
  const auto found = profile.gemm.find(std::string(dtype_name(dtype)));
  if (found == profile.gemm.end()) {
    throw InputError("machine " + profile.name + " has no GEMM speeds for " +
                     std::string(dtype_name(dtype)));
  }
  const std::vector<GemmSpeed>& speeds = found->second;
  if (rows <= speeds.front().rows) {
    return speeds.front().flops_per_s * rows / speeds.front().rows;
  }
  const auto above = std::find_if(speeds.begin(), speeds.end(),
                                  [&](const GemmSpeed& each) { return each.rows >= rows; });
  if (above == speeds.end()) return speeds.back().flops_per_s;
  const GemmSpeed& below = *(above - 1);
  const double share = std::log(rows / below.rows) / std::log(above->rows / below.rows);
  return below.flops_per_s * std::pow(above->flops_per_s / below.flops_per_s, share);
}

}  // namespace hashep::bench
