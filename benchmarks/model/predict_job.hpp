// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "benchmarks/model/layer_cost.hpp"
#include "benchmarks/model/machine_profile.hpp"
#include "benchmarks/model/routed_job.hpp"

namespace hashep::bench {

/// What `hashep-bench scale --predict` is asked for.
struct PredictOptions {
  std::vector<int64_t> ranks;
  int64_t base_ranks = 0;      // whose efficiency is 1; 0: the smallest of `ranks`
  std::string machine;         // a profile's file
  int64_t ranks_per_node = 0;  // 0: the profile's
  int64_t tokens_per_rank = 16384;
  int64_t hidden_size = 1024;
  int64_t ffn_size = 4096;
  int64_t num_experts = 16;
  int64_t experts_per_rank = 0;  // > 0: num_experts is this times the number of ranks
  int64_t top_k = 1;
  int64_t num_shared_experts = 0;
  Activation activation = Activation::silu;
  std::vector<DType> dtypes{DType::f32};
  JobRouting routing;
  std::string transport = "auto";
  bool node_reduce = false;
  std::string scaling = "both";  // weak, strong
};

/// Throws InputError on sizes out of range, an unknown transport, or one that cannot leave a node.
void validate(const PredictOptions& options);

/// A layer of a job of some size.
struct Prediction {
  std::string scaling;  // weak: tokens_per_rank stays; strong: the batch of the smallest job stays
  int ranks = 1;
  int64_t ranks_per_node = 1;
  std::string transport;
  DType dtype = DType::f32;
  int64_t num_experts = 1;
  int64_t batch_tokens = 0;
  LayerCost cost;
  int base_ranks = 1;
  LayerCost ideal;  // what base_ranks need, strong: divided by the growth in ranks from there

  double efficiency() const { return ideal.layer() / cost.layer(); }
};

/// One for each scaling, dtype and number of ranks. Routes each job's tokens once for all dtypes.
/// Throws InputError.
std::vector<Prediction> predict(const PredictOptions& options, const MachineProfile& profile,
                                int threads);

/// Rows "predicted", of layer and of its phases, with the band of the profile.
nlohmann::ordered_json prediction_rows(const std::vector<Prediction>& predictions,
                                       const PredictOptions& options,
                                       const MachineProfile& profile);
/// A table for people.
std::string prediction_table(const std::vector<Prediction>& predictions,
                             const MachineProfile& profile);

}  // namespace hashep::bench
