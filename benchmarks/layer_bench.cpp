// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/layer_bench.hpp"

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "benchmarks/bench_transports.hpp"
#include "benchmarks/layer_case.hpp"
#include "benchmarks/rank_harness.hpp"
#include "benchmarks/rank_job.hpp"
#include "comm/rank_program.hpp"

namespace hashep::bench {
namespace {

/// The layer's time over that of its GEMMs alone.
struct LayerRatio {
  double of_medians = 0.0;
  double median = 0.0;  // of the ratios of each round
};

LayerRatio layer_ratio(std::span<const MeasuredRow> rows) {
  const std::vector<double>& layer = rows[rows.size() - 2].samples_us;
  const std::vector<double>& gemm_alone = rows.back().samples_us;
  return {median(layer) / median(gemm_alone), median_ratio(layer, gemm_alone)};
}

std::string ratio_line(const LayerRatio& ratio) {
  std::array<char, 128> line{};
  std::snprintf(line.data(), line.size(),
                "# layer / gemm_alone: %.4f (of the medians), %.4f (median over rounds)\n",
                ratio.of_medians, ratio.median);
  return line.data();
}

}  // namespace

void measure_layer(const LayerOptions& options, const std::vector<std::string>& args,
                   const Communicator& comm, Watch& watch) {
  RankJob job(options.common, options.common.tokens_per_rank, args, comm, watch);
  const BenchTransports made = make_transports({options.transport}, comm, job.topology(), watch,
                                               static_cast<int>(options.common.threads));
  Transport& transport = *made.transports.front();
  job.print_head(
      "# transport " + std::string(transport.name()) + ", " +
      std::string(activation_name(options.activation)) + ", score " +
      std::string(score_name(options.score)) +
      "\n# times are the slowest rank's; plan: route the next batch, complete this one's "
      "plan, beside the layer\n");
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  int64_t wrong = 0;
  for (const DType dtype : options.common.dtypes) {
    for (const int64_t ffn_size : options.ffn_sizes) {
      const ModelConfig config = layer_config(options, ffn_size);
      std::optional<LayerCase> bench;
      settle_reporter(watch, [&] {
        bench.emplace(options, config, dtype, job.workload(), transport, comm, watch);
        job.print("# ffn size " + std::to_string(ffn_size) + ": " + bench->implementation() + "\n");
        const std::vector<MeasuredRow> rows = bench->measure();
        const LayerRatio ratio = layer_ratio(rows);
        for (const MeasuredRow& row : rows) {
          if (comm.rank() == 0) print_row(row, std::to_string(*row.wrong) + " wrong");
          if (row.name == "layer" || row.name == "gemm_alone") wrong += *row.wrong;
          nlohmann::ordered_json json = row_json(row);
          if (row.name == "layer") {
            json["ratio_to"] = {{"gemm_alone", ratio.median},
                                {"gemm_alone_of_medians", ratio.of_medians}};
          }
          results.push_back(std::move(json));
        }
        job.print(ratio_line(ratio));
      });
    }
  }
  job.finish(std::move(results), wrong);
}

}  // namespace hashep::bench
