// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "benchmarks/model/exchange_cost.hpp"
#include "benchmarks/model/machine_profile.hpp"
#include "benchmarks/model/routed_job.hpp"
#include "hashep/ffn_shape.hpp"

namespace hashep::bench {

/// What a row of a result times.
enum class TimedThing { exchange, experts, layer };

/// A row of a result that the model can predict.
struct MeasuredPoint {
  std::string file;
  std::string label;  // "shm dispatch", "alltoallv combine", "copy_bound", "experts"
  TimedThing timed = TimedThing::exchange;
  Move move = Move::push;
  Direction direction = Direction::dispatch;
  DType dtype = DType::f32;
  JobRouting routing;
  JobShape shape;
  FfnShape ffn;
  int64_t tokens_per_rank = 0;
  double seconds = 0.0;  // the median
  bool simulated = false;
  bool held_out = false;  // not to be fitted
};

/// GEMMs of experts that were timed with equally many rows each.
struct MeasuredGemm {
  DType dtype = DType::f32;
  double rows = 0.0;  // of an expert
  double flops_per_s = 0.0;
};

struct Measurements {
  std::vector<MeasuredPoint> points;
  std::vector<MeasuredGemm> gemms;
  std::map<std::string, int> skipped;  // names of rows that the model does not predict
};

/// Adds the rows of a result of `hashep-bench exchange`, `layer` or `experts`, or of a simulation.
/// Rows that do not say how many ranks share a node are taken to have `ranks_per_node`. Of each
/// sweep every `holdout`th size is held out, in the order of the file (0: none); rows of layers
/// always are, as nothing is fitted to them. Throws InputError on a file that is no such result.
void add_measurements(const nlohmann::json& document, const std::string& file,
                      int64_t ranks_per_node, int64_t holdout, Measurements& measurements);

/// The median speed of each (dtype, rows) as a profile has it.
std::map<std::string, std::vector<GemmSpeed>> gemm_speeds(const std::vector<MeasuredGemm>& gemms);

}  // namespace hashep::bench
