// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/gpu/layer_bench.hpp"

#include <array>
#include <cstdio>
#include <map>

#include "benchmarks/gpu/layer_dump.hpp"
#include "benchmarks/gpu/layer_gemms.hpp"
#include "benchmarks/layer_parts.hpp"
#include "core/format.hpp"
#include "core/narrow.hpp"
#include "hashep/error.hpp"
#include "runtime/layer/oracle_check.hpp"

namespace hashep::bench {
namespace {

/// One way of issuing the experts' GEMMs.
struct Variant {
  std::string name;
  GemmGrouping grouping = GemmGrouping::per_expert;
  int lanes = 1;
};

std::vector<Variant> variants_of(const LayerOptions& options) {
  std::vector<Variant> variants;
  for (const int64_t lanes : options.lanes) {
    variants.push_back({"lanes " + std::to_string(lanes), GemmGrouping::per_expert,
                        narrow<int>(lanes, "--lanes")});
  }
  variants.push_back({"grouped", GemmGrouping::grouped, 1});
  if (options.sizes.dtype == DType::bf16 && why_no_fused_gemm() == nullptr) {
    variants.push_back({"fused", GemmGrouping::fused, 1});
  }
  return variants;
}

CudaExecOptions exec_options(const LayerCase& c, const Variant& variant, GraphMode graph) {
  return {.dtype = c.sizes.dtype,
          .residual = false,
          .grouping = variant.grouping,
          .graph = graph,
          .lanes = variant.lanes};
}

std::string rate_note(double flops, double us, double dense_us) {
  return format("%.0f TFLOP/s, %.1f %% of dense", flops / us * 1e-6, 100.0 * dense_us / us);
}

/// Steps of one stack, sample by sample.
class Steps {
 public:
  Steps(const LayerCase& c, const Variant& variant, GraphMode graph)
      : case_(c),
        plan_(c.plan),
        stack_(c.config, c.weights, c.geometry.placements(), 0, exec_options(c, variant, graph)) {
    stack_.set_input(c.input());
  }

  std::vector<std::byte> result() {
    run_once();
    return fetch_result(stack_);
  }

  /// Microseconds of each phase, and of the whole step.
  std::map<Phase, std::vector<double>> time(const Sampling& sampling) {
    std::map<Phase, std::vector<double>> samples;
    for (int round = -sampling.warmup; round < sampling.samples; ++round) {
      run_once();
      if (round < 0) continue;
      for (const PhaseSpan& span : stack_.phases(plan_.step)) {
        samples[span.phase].push_back(span.end_us - span.begin_us);
      }
    }
    return samples;
  }

 private:
  void run_once() {
    ++plan_.step;
    stack_.prepare(plan_);
    run_and_wait(stack_, plan_);
  }

  const LayerCase& case_;
  BatchPlan plan_;
  CudaStack stack_;
};

void measure_variant(const LayerCase& c, const Variant& variant, const GpuRun& run, double dense_us,
                     const LayerOptions& options, std::vector<MeasuredRow>& rows) {
  std::vector<std::byte> direct;
  {
    Steps steps(c, variant, GraphMode::off);
    direct = steps.result();
  }
  Steps steps(c, variant, GraphMode::on);
  const bool same = steps.result() == direct;
  const OracleDifference difference =
      oracle_difference(c, direct, options.check_tokens, variant.grouping == GemmGrouping::grouped);
  std::printf("%s: relative error %.1e (bound %.0e), graph %s\n", variant.name.c_str(),
              difference.relative_error, difference.relative_bound,
              same ? "bit-identical" : "DIFFERS");
  const int64_t wrong = (same ? 0 : 1) + (difference.is_explained() ? 0 : 1);
  if (!options.dump_path.empty() && variant.lanes == 4) {
    dump_layer(c, direct, options.dump_path);
  }
  GpuRun here = run;
  here.row.workload = variant.name;
  const auto samples = steps.time(run.sampling);
  for (const auto& [phase, times] : samples) {
    const bool is_step = phase == Phase::step;
    const bool is_gemm = is_step || phase == Phase::experts;
    rows.push_back(make_row(here, is_step ? "layer" : phase_name(phase), times, wrong,
                            is_gemm ? rate_note(c.flops(), median(times), dense_us) : ""));
  }
}

/// The GEMMs alone, in each way and with each number of lanes. Returns the dense ones' median.
double measure_gemms(const LayerCase& c, const LayerOptions& options, const GpuRun& run,
                     std::vector<MeasuredRow>& rows) {
  const std::string narrow_name =
      "dense_gemm_" + std::string(dtype_name(c.sizes.dtype)) + "_output";
  const std::array<std::pair<GemmWay, std::string>, 3> yardsticks = {
      {{GemmWay::dense, "dense_gemm"},
       {GemmWay::dense_narrow, narrow_name},
       {GemmWay::tiles, "gemm_alone"}}};
  double dense_us = 0.0;
  for (const int64_t lanes : options.lanes) {
    const LayerGemms gemms(c, narrow<int>(lanes, "--lanes"));
    std::vector<int64_t> wrong;
    std::vector<GpuWork> things;
    for (const auto& [way, name] : yardsticks) {
      wrong.push_back(gemms.count_wrong(way));
      things.push_back(
          [&gemms, way = way](int64_t, DeviceStream stream) { gemms.run(way, stream); });
    }
    const auto samples = time_on_gpu(run.sampling, things);
    GpuRun here = run;
    here.row.workload = "lanes " + std::to_string(lanes);
    dense_us = median(samples.front());
    for (size_t i = 0; i < yardsticks.size(); ++i) {
      rows.push_back(make_row(here, yardsticks[i].second, samples[i], wrong[i],
                              rate_note(c.flops(), median(samples[i]), dense_us)));
    }
  }
  return dense_us;
}

}  // namespace

std::vector<MeasuredRow> measure_layer(const LayerOptions& options, const GpuRun& run) {
  const LayerCase c(options.sizes);
  if (c.sizes.num_layers != 1) throw InputError("--num-layers: the layer benchmark takes one");
  GpuRun here = run;
  describe_layer(c.config, c.sizes.dtype, c.sizes.tokens, here.row);
  std::vector<MeasuredRow> rows;
  const double dense_us = measure_gemms(c, options, here, rows);
  for (const Variant& variant : variants_of(options)) {
    measure_variant(c, variant, here, dense_us, options, rows);
  }
  return rows;
}

}  // namespace hashep::bench
