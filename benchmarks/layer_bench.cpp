// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/layer_bench.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "benchmarks/backward_case.hpp"
#include "benchmarks/bench_transports.hpp"
#include "benchmarks/layer_case.hpp"
#include "benchmarks/planning_gain.hpp"
#include "benchmarks/rank_harness.hpp"
#include "benchmarks/rank_job.hpp"
#include "benchmarks/text_format.hpp"
#include "comm/watch.hpp"

namespace hashep::bench {
namespace {

std::string head(const LayerOptions& options, const BenchTransports& made) {
  return made.lines() + "# layers " + std::to_string(options.common.num_layers) + ", " +
         std::string(activation_name(options.activation)) + ", score " +
         std::string(score_name(options.score)) + ", shared experts " +
         std::to_string(options.num_shared_experts) + ", placement " + options.common.placement +
         "\n#\n" + kLayerColumns + "#\n" + layer_titles();
}

/// The layer's time over that of its GEMMs alone.
struct LayerRatio {
  double of_medians = 0.0;
  double median = 0.0;  // of the ratios of each round
};

LayerRatio layer_ratio(const LayerRow& layer, const LayerRow& gemm_alone) {
  return {median(layer.samples_us) / median(gemm_alone.samples_us),
          median_ratio(layer.samples_us, gemm_alone.samples_us)};
}

/// Prints and collects the rows of one case.
void report(const RankJob& job, const std::vector<LayerRow>& rows,
            nlohmann::ordered_json& results) {
  const LayerRow& gemm_alone = *std::find_if(
      rows.begin(), rows.end(), [](const LayerRow& row) { return row.name == "gemm_alone"; });
  const std::optional<PlanningGain> gain = planning_gain(rows);
  std::string ratios;
  for (const LayerRow& row : rows) {
    job.print(layer_line(row));
    nlohmann::ordered_json json = layer_json(row);
    if (row.name == "layer") {
      const LayerRatio ratio = layer_ratio(row, gemm_alone);
      json["ratio_to"] = {{"gemm_alone", ratio.median},
                          {"gemm_alone_of_medians", ratio.of_medians}};
      if (gain && row.when == PlanWhen::ahead) json["planning_gain"] = planning_gain_json(*gain);
      ratios += format(
          "# layer / gemm_alone: %.4f (of the medians), %.4f (median over rounds), planning %s\n",
          ratio.of_medians, ratio.median, plan_when_name(*row.when));
    }
    results.push_back(std::move(json));
  }
  job.print(ratios);
  if (gain) job.print(planning_gain_lines(*gain));
}

/// The same of forward and backward.
void report_backward(const RankJob& job, const std::vector<LayerRow>& rows,
                     nlohmann::ordered_json& results) {
  const auto samples_of = [&](std::string_view name) -> const std::vector<double>& {
    return std::find_if(rows.begin(), rows.end(),
                        [&](const LayerRow& row) { return row.name == name; })
        ->samples_us;
  };
  std::vector<double> thrice = samples_of("gemm_alone");
  std::vector<double> gemms = samples_of("gemm_alone_backward");
  for (size_t i = 0; i < gemms.size(); ++i) {
    gemms[i] += thrice[i];
    thrice[i] *= 3.0;
  }
  std::string ratios;
  for (const LayerRow& row : rows) {
    job.print(layer_line(row));
    nlohmann::ordered_json json = layer_json(row);
    if (row.name == "step") {
      json["ratio_to"] = {{"gemms_alone", median_ratio(row.samples_us, gemms)},
                          {"three_times_gemm_alone", median_ratio(row.samples_us, thrice)}};
      ratios = format(
          "# step / (gemm_alone + gemm_alone_backward): %.4f, step / 3 gemm_alone: %.4f (medians "
          "over rounds)\n",
          median_ratio(row.samples_us, gemms), median_ratio(row.samples_us, thrice));
    }
    results.push_back(std::move(json));
  }
  job.print(ratios);
}

int64_t total_wrong(const std::vector<LayerRow>& rows) {
  int64_t wrong = 0;
  for (const LayerRow& row : rows) {
    const bool repeats = row.when && row.name != "layer";  // phases have their layer's
    if (!repeats) wrong += row.wrong.value_or(0);
  }
  return wrong;
}

}  // namespace

void measure_layer(const LayerOptions& options, const std::vector<std::string>& args,
                   const Communicator& comm, Watch& watch) {
  RankJob job(options.common, options.common.tokens_per_rank, args, comm, watch);
  const BenchTransports made = make_transports(options.transports, comm, job.topology(), watch,
                                               static_cast<int>(options.common.threads));
  job.print_head(head(options, made));
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  int64_t wrong = 0;
  settle_reporter(watch, [&] {
    for (const DType dtype : options.common.dtypes) {
      for (const int64_t ffn_size : options.ffn_sizes) {
        const ModelConfig config = layer_config(options, ffn_size);
        for (const auto& transport : made.transports) {
          if (options.backward) {
            BackwardCase bench(options, config, dtype, job.workload(), *transport,
                               {comm, job.topology(), watch});
            job.print("# ffn size " + std::to_string(ffn_size) + ": " + bench.implementation() +
                      "\n");
            const std::vector<LayerRow> rows = bench.measure();
            report_backward(job, rows, results);
            wrong += rows.front().wrong.value_or(0);
            continue;
          }
          LayerCase bench(options, config, dtype, job.workload(), *transport,
                          {comm, job.topology(), watch});
          job.print("# ffn size " + std::to_string(ffn_size) + ": " + bench.implementation() +
                    "\n");
          const std::vector<LayerRow> rows = bench.measure();
          report(job, rows, results);
          wrong += total_wrong(rows);
        }
      }
    }
  });
  job.finish(std::move(results), wrong);
}

}  // namespace hashep::bench
