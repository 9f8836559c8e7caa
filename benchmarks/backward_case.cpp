// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/backward_case.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "benchmarks/layer_dump.hpp"
#include "benchmarks/layer_parts.hpp"
#include "benchmarks/layer_row.hpp"
#include "comm/gather.hpp"
#include "kernels/ffn/gradient_oracle.hpp"
#include "kernels/optimizer/adamw.hpp"
#include "kernels/parallel.hpp"
#include "kernels/rows/stream_copy.hpp"
#include "runtime/model/synthetic_weights.hpp"

namespace hashep::bench {
namespace {

constexpr uint64_t kSeed = 1;
constexpr uint64_t kStatesTag = 5;
constexpr uint64_t kGradientsTag = 6;
constexpr int64_t kTokensToCheck = 3;  // of a rank
constexpr int64_t kMostScopes = 8;     // of one phase in a sample

constexpr std::array kPhases = {Phase::dispatch,         Phase::experts,
                                Phase::combine,          Phase::dispatch_backward,
                                Phase::experts_backward, Phase::combine_backward};

/// Relative errors of one token's gradient, and of a sum over all.
double tolerance(DType dtype) {
  return dtype == DType::f32 ? 1e-4 : 5e-2;
}

Doubles row_of(ConstMatrixView rows, int64_t row) {
  return doubles_of(rows.slice(row, 1));
}

}  // namespace

BackwardCase::BackwardCase(const LayerOptions& options, const ModelConfig& config, DType dtype,
                           const Workload& workload, Transport& transport, const JobRanks& ranks)
    : options_(options),
      config_(config),
      dtype_(dtype),
      workload_(workload),
      transport_(transport),
      comm_(ranks.comm),
      watch_(ranks.watch),
      weights_(make_synthetic_weights(config, dtype, kSeed)),
      stack_(config, *weights_, workload.placements(), ranks.comm.rank(), false, exec_options(),
             transport),
      forward_gemms_(config, *weights_, workload.placements(), ranks.comm.rank(), exec_options()),
      backward_gemms_(config, workload.placements(), ranks.comm.rank(), exec_options()),
      phases_(ranks.watch, kMostScopes) {
  const int64_t bytes = tokens() * config.hidden_size * dtype_size(dtype);
  for (Buffer* buffer : {&input_, &output_, &gradient_}) buffer->reserve(bytes);
  fill_random_rows(kStatesTag, comm_.rank() * tokens(), view(input_));
  plan_batch(ranks);
  stack_.prepare(plan_);
  stack_.prepare_tape(plan_, tape_);
  stack_.clear_gradients();
  int64_t values = 0;
  for (const Parameter& parameter : stack_.parameters()) {
    values += parameter.value.rows * parameter.value.cols;
  }
  moments_.reserve(2 * values * dtype_size(DType::f32));
  std::fill_n(moments_.data(), moments_.capacity(), std::byte{0});
  copied_.reserve(values * dtype_size(DType::f32));
  backward_gemms_.prepare(plan_.layers);
}

void BackwardCase::plan_batch(const JobRanks& ranks) {
  PhaseLog log(&watch_, 1, false);
  StreamPlanner planner = workload_.planner(workload_.split(tokens()), ranks, log);
  planner.begin();
  plan_ = planner.take();
}

void BackwardCase::run_step() {
  stack_.run(plan_, view(output_), phases_.log(), &tape_);
  stack_.backward(plan_, view(gradient_), tape_, phases_.log());
  phases_.count_batch();
}

/// Of rate 0, so that weights stay what they are.
void BackwardCase::run_optimizer() {
  const PhaseLog::Scope scope(phases_.log(), Phase::optimizer);
  auto* next = reinterpret_cast<float*>(moments_.data());
  stack_.update([&](std::span<const Parameter> parameters) {
    for (const Parameter& parameter : parameters) {
      const int64_t count = parameter.value.rows * parameter.value.cols;
      adamw_update({.correction1 = 0.1f, .root_correction2 = 0.03f},
                   {.values = parameter.value.row_as<float>(0),
                    .gradients = parameter.gradient.row_as<float>(0),
                    .first_moments = next,
                    .second_moments = next + count,
                    .count = count},
                   threads());
      next += 2 * count;
    }
  });
}

void BackwardCase::run_copy() {
  constexpr int64_t kBytesPerThread = int64_t{1} << 20;
  parallel_ranges(copied_.capacity(), threads(), kBytesPerThread, [&](int64_t begin, int64_t end) {
    stream_copy(copied_.data() + begin, moments_.data() + begin, end - begin);
    stream_fence();
  });
}

std::vector<LayerRow> BackwardCase::measure() {
  int64_t wrong = check();
  const auto begin = [this] {
    phases_.close();
    std::memcpy(output_.data(), input_.data(), view(input_).bytes());
    fill_random_rows(kGradientsTag, comm_.rank() * tokens(), view(gradient_));
  };
  const std::vector<RankTimed> things{
      {.prepare = begin,
       .steps = {[this] { run_step(); }, [this] { run_optimizer(); }},
       .repeatable = false},
      {.prepare = [this] { forward_gemms_.prepare(plan_.layers); },
       .steps = {[this] { forward_gemms_.run(); }},
       .repeatable = false},
      {.prepare = {}, .steps = {[this] { backward_gemms_.run(); }}},
      {.prepare = {}, .steps = {[this] { run_copy(); }}}};
  const auto samples = time_in_turn_on_ranks(comm_, watch_, options_.common.sampling, things);
  phases_.close();
  wrong += forward_gemms_.wrong_rows() + check();
  std::vector<LayerRow> rows;
  for (const Phase phase : kPhases) {
    const auto own = phases_.newest(phase, options_.common.sampling.samples);
    if (!own.empty())
      rows.push_back(make_row(phase_name(phase), reduce_samples(comm_, watch_, own, 1)));
  }
  rows.push_back(make_row("optimizer", samples[0][1]));
  // AdamW reads and writes four floats for each parameter, and writes both packings: so many times
  // what one copied float moves.
  const double copies =
      (8.0 * sizeof(float) + 2.0 * static_cast<double>(dtype_size(dtype_))) / (2.0 * sizeof(float));
  std::vector<double> copied = samples[3].front().max_us;
  for (double& each : copied) each *= copies;
  rows.back().share_of_copy_bound = median_ratio(copied, rows.back().samples_us);
  rows.push_back(make_row("step", samples[0][0]));
  for (LayerRow& row : rows) {
    row.when = PlanWhen::at_hand;
    row.transport = std::string(transport_.name());
  }
  rows.push_back(make_row("gemm_alone", samples[1].front()));
  rows.push_back(make_row("gemm_alone_backward", samples[2].front()));
  const int64_t all_wrong = reduce_sum(comm_, watch_, wrong);
  const double backward = backward_gemms_.operations();
  const std::vector<double> of_ranks = gather_values(comm_, watch_, std::span(&backward, 1));
  double operations = 0.0;
  for (const double of_rank : of_ranks) operations += of_rank;
  const auto set_rate = [&](LayerRow& row, double share) {
    row.gflops = share * operations / median(row.samples_us) * 1e-3;
  };
  for (LayerRow& row : rows) {
    row.wrong = all_wrong;
    if (row.name == "step") set_rate(row, 1.5);  // forward has half of backward's products
    if (row.name == "gemm_alone") set_rate(row, 0.5);
    if (row.name == "gemm_alone_backward") set_rate(row, 1.0);
  }
  return rows;
}

LayerRow BackwardCase::make_row(const std::string& name, const RankSamples& samples) const {
  return make_layer_row(name, samples, options_.common, config_, dtype_, workload_);
}

/// Outputs are taken for their own gradients: then the sum of their squares is that of gradient *
/// weight over all of w2, of which outputs are a linear function; and over w1 with relu, over w3
/// with silu.
int64_t BackwardCase::check() {
  stack_.clear_gradients();
  std::memcpy(output_.data(), input_.data(), view(input_).bytes());
  stack_.run(plan_, view(output_), phases_.log(), &tape_);
  std::memcpy(gradient_.data(), output_.data(), view(output_).bytes());
  stack_.backward(plan_, view(gradient_), tape_, phases_.log());
  phases_.log().clear();
  const int64_t wrong = wrong_tokens() + wrong_weights();
  if (!options_.dump_folder.empty()) dump();
  stack_.clear_gradients();
  return wrong;
}

/// What `check` has left.
void BackwardCase::dump() {
  StreamBatch batch;
  read_batch(workload_.stream(), workload_.split(tokens()), plan_.step, batch);
  const std::vector<Parameter> parameters = stack_.parameters();
  dump_layer({.config = config_,
              .weights = *weights_,
              .plan = plan_,
              .ids = batch.ids,
              .x = view(input_),
              .y = view(output_),
              .dy = view(output_),
              .dx = view(gradient_),
              .parameters = parameters},
             options_.dump_folder);
}

int64_t BackwardCase::wrong_tokens() {
  const FfnShape shape = config_.routed_shape();
  const ExchangePlan& plan = plan_.layers.front();
  int64_t wrong = 0;
  for (const int64_t token : spread_tokens(tokens(), kTokensToCheck)) {
    const Doubles x = row_of(view(input_), token);
    const Doubles dy = row_of(view(output_), token);
    Doubles dx(x.size());
    for (int64_t j = 0; j < plan.top_k; ++j) {
      const int32_t expert = plan.experts[token * plan.top_k + j];
      if (expert < 0) continue;
      const OracleFfn ffn(weights_->routed_expert(0, expert).weights, dtype_);
      OracleFfn unused = ffn.zeros();
      oracle_ffn_backward(shape, ffn, x, dy, 1.0 / static_cast<double>(plan.top_k), unused, dx,
                          dtype_);
    }
    const Doubles got = row_of(view(gradient_), token);
    wrong += distance(std::span<const double>(got), dx) < tolerance(dtype_) ? 0 : 1;
  }
  return wrong;
}

int64_t BackwardCase::wrong_weights() {
  const std::array<std::string, 2> names{"w2",
                                         config_.activation == Activation::silu ? "w3" : "w1"};
  std::array<double, 3> sums{};  // of outputs' squares, then by name
  for (const double value : doubles_of(view(output_))) sums[0] += value * value;
  for (const Parameter& parameter : stack_.parameters()) {
    for (size_t i = 0; i < names.size(); ++i) {
      if (parameter.name != names[i]) continue;
      const auto* const value = parameter.value.row_as<float>(0);
      const auto* const gradient = parameter.gradient.row_as<float>(0);
      for (int64_t e = 0; e < parameter.value.rows * parameter.value.cols; ++e) {
        sums[i + 1] += static_cast<double>(value[e]) * static_cast<double>(gradient[e]);
      }
    }
  }
  const std::vector<double> of_ranks = gather_values(comm_, watch_, sums);
  std::array<double, 3> all{};
  for (size_t i = 0; i < of_ranks.size(); ++i) all[i % all.size()] += of_ranks[i];
  const bool checks_both = config_.activation != Activation::gelu;
  int64_t wrong = 0;
  for (size_t i = 1; i < (checks_both ? all.size() : size_t{2}); ++i) {
    wrong += std::abs(all[i] - all[0]) <= tolerance(dtype_) * all[0] && all[0] > 0.0 ? 0 : 1;
  }
  return wrong;
}

}  // namespace hashep::bench
