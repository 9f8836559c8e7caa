// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/layer_row.hpp"

#include "benchmarks/layer_parts.hpp"

namespace hashep::bench {

LayerRow make_layer_row(const std::string& name, const RankSamples& samples,
                        const RankOptions& options, const ModelConfig& config, DType dtype,
                        const Workload& workload) {
  LayerRow row;
  row.name = name;
  row.device = "cpu";
  describe_layer(config, dtype, options.tokens_per_rank, row);
  row.workload = workload.name();
  row.samples_us = samples.max_us;
  row.samples = samples;
  row.router = workload.router_name();
  row.placement = options.placement;
  row.num_layers = config.num_layers;
  return row;
}

}  // namespace hashep::bench
