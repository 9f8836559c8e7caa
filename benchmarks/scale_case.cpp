// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/scale_case.hpp"

#include <optional>
#include <vector>

#include "benchmarks/bench_transports.hpp"
#include "benchmarks/layer_case.hpp"
#include "benchmarks/workload.hpp"
#include "comm/agreement.hpp"
#include "comm/gather.hpp"
#include "comm/watch.hpp"

namespace hashep::bench {
namespace {

/// This rank's samples of a phase; zero each where it has none: a rank without rows from other
/// nodes does not wait for them.
std::vector<double> samples_of(const LayerCase& bench, Phase phase, size_t samples) {
  std::vector<double> own = bench.own_samples(phase);
  own.resize(samples);
  return own;
}

/// Collective.
LayerTimes gather_times(const LayerCase& bench, std::vector<double> layer_us, RankGroup& group) {
  const size_t samples = layer_us.size();
  std::vector<double> experts = samples_of(bench, Phase::experts, samples);
  std::vector<double> exchange = samples_of(bench, Phase::dispatch, samples);
  const std::vector<double> combine = samples_of(bench, Phase::combine, samples);
  const std::vector<double> far = samples_of(bench, Phase::far_rows, samples);
  for (size_t i = 0; i < samples; ++i) {
    experts[i] -= far[i];
    exchange[i] += combine[i] + far[i];
  }
  return {std::move(layer_us), gather_values(group.comm(), group.watch(), experts),
          gather_values(group.comm(), group.watch(), exchange)};
}

}  // namespace

ScaleMeasurement measure_point(const ScaleOptions& options, const ScalePoint& point, DType dtype,
                               RankGroup& group) {
  const Communicator& comm = group.comm();
  Watch& watch = group.watch();
  const LayerOptions layer = layer_options(options, point);
  ModelConfig config;
  std::optional<Workload> workload;
  agree(comm, watch, [&] {
    config = layer_config(layer, options.ffn_size);
    workload.emplace(layer.common, group.topology().nodes, comm.rank());
    workload->split(point.tokens_per_rank);  // throws where that is too many
  });
  const BenchTransports made =
      make_transports(std::span(&options.transport, 1), comm, group.topology(), watch,
                      static_cast<int>(layer.common.threads));
  std::optional<LayerCase> bench;
  ScaleMeasurement result;
  settle_reporter(watch, [&] {
    bench.emplace(layer, config, dtype, *workload, *made.transports.front(),
                  JobRanks{comm, group.topology(), watch});
    bench->before_samples([&group] { group.show_life(); });
    for (LayerRow& row : bench->measure()) {
      const bool is_layer = row.name == "layer";
      if (is_layer || !row.when) result.wrong += *row.wrong;
      if (is_layer) result.row = std::move(row);
    }
    result.row.wrong = result.wrong;
    result.parts = time_parts(gather_times(*bench, result.row.samples_us, group));
  });
  return result;
}

}  // namespace hashep::bench
