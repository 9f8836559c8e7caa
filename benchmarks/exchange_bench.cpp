// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/exchange_bench.hpp"

#include <array>
#include <nlohmann/json.hpp>

#include "benchmarks/bench_transports.hpp"
#include "benchmarks/cache_scrubber.hpp"
#include "benchmarks/exchange_baseline.hpp"
#include "benchmarks/exchange_check.hpp"
#include "benchmarks/exchange_table.hpp"
#include "benchmarks/rank_harness.hpp"
#include "benchmarks/rank_job.hpp"
#include "benchmarks/workload.hpp"
#include "comm/gather.hpp"
#include "comm/plan/plan_stats.hpp"
#include "comm/watch.hpp"
#include "core/random.hpp"

namespace hashep::bench {
namespace {

constexpr uint64_t kWeightsTag = 3;

/// Elements out of place, of each direction.
struct Wrong {
  int64_t dispatch = 0;
  int64_t combine = 0;
};

class ExchangeBench {
 public:
  ExchangeBench(const ExchangeOptions& options, const RankJob& job, const Communicator& comm,
                Watch& watch)
      : options_(options),
        workload_(job.workload()),
        topology_(job.topology()),
        comm_(comm),
        watch_(watch),
        made_(make_transports(options.transports, comm, job.topology(), watch, threads())),
        packed_(comm, threads()),
        raw_(comm, threads()) {
    for (const auto& transport : made_.transports) transports_.push_back(transport.get());
    transports_.push_back(&packed_);
    for (Transport* transport : transports_) exchanges_.push_back(transport->make_exchange());
    outputs_.resize(transports_.size());
  }

  std::string head() const {
    std::string names;
    for (const auto& transport : made_.transports) names += " " + std::string(transport->name());
    std::string lines = "# transports:" + names + "\n";
    for (const std::string& reason : made_.left_out) lines += "# left out: " + reason + "\n";
    return lines;
  }

  /// All rows of one size.
  std::vector<ExchangeRow> measure(DType dtype, int64_t tokens) {
    const RankOptions& shape = options_.common;
    const BatchSplit split = workload_.split(tokens);
    const BatchPlan batch = workload_.plan(split, {comm_, topology_, watch_});
    const ExchangePlan& plan = batch.layers.front();
    const Range own = split_range(split.batch_tokens, split.ep_size, split.ep_rank);
    const ExchangeCheck check(
        options_.check != 0 ? workload_.all_experts(split) : std::vector<int32_t>{}, plan.top_k,
        workload_.local_experts(), own);
    const int64_t bytes = tokens * shape.hidden_size * dtype_size(dtype);
    x_.reserve(bytes);
    check.fill(x_.matrix(dtype, tokens, shape.hidden_size));
    make_weights(plan, own);
    for (size_t i = 0; i < transports_.size(); ++i) {
      outputs_[i].reserve(bytes);
      transports_[i]->reserve(batch.layers, dtype, shape.hidden_size, {});
      exchanges_[i]->begin(batch.layers.front());
    }
    raw_.reserve(plan, dtype, shape.hidden_size);

    std::vector<Wrong> wrong(transports_.size() + 2);  // and the raw exchange, and the copies
    check_all(plan, dtype, check, wrong);
    const auto samples = time_in_turn_on_ranks(comm_, watch_, shape.sampling, things(plan, dtype));
    check_timed(plan, dtype, check, wrong);
    check_all(plan, dtype, check, wrong);
    return rows(plan, dtype, samples, wrong);
  }

 private:
  int threads() const { return static_cast<int>(options_.common.threads); }
  ConstMatrixView x(const ExchangePlan& plan, DType dtype) {
    return x_.matrix(dtype, plan.tokens, options_.common.hidden_size);
  }
  MatrixView output(size_t index, const ExchangePlan& plan, DType dtype) {
    return outputs_[index].matrix(dtype, plan.tokens, options_.common.hidden_size);
  }
  /// What is timed: as layers without scores have it where top_k is 1, and as those with scores
  /// where it is more.
  std::span<const float> timed_weights(const ExchangePlan& plan) const {
    return plan.top_k == 1 ? std::span<const float>() : std::span<const float>(weights_);
  }

  /// Weights whose sums depend on the order.
  void make_weights(const ExchangePlan& plan, Range own) {
    weights_.resize(plan.experts.size());
    const uint64_t first = static_cast<uint64_t>(own.begin * plan.top_k);
    for (size_t i = 0; i < weights_.size(); ++i) {
      weights_[i] = static_cast<float>(uniform_from_bits(random_bits(kWeightsTag, first + i)));
    }
  }

  std::vector<RankTimed> things(const ExchangePlan& plan, DType dtype) {
    std::vector<RankTimed> things;
    for (size_t i = 0; i < transports_.size(); ++i) {
      Exchange& exchange = *exchanges_[i];
      const ConstMatrixView from = x(plan, dtype);
      const MatrixView to = output(i, plan, dtype);
      const auto dispatch = [this, &exchange, from] {
        watch_.at({Phase::dispatch, -1, -1});
        exchange.dispatch_all(from);
      };
      const auto combine = [this, &exchange, &plan, to] {
        watch_.at({Phase::combine, -1, -1});
        exchange.return_all(timed_weights(plan), {}, to);
      };
      things.push_back({.prepare = nullptr, .steps = {dispatch, combine}});
    }
    things.push_back({nullptr, {[this] { raw_.forward(); }, [this] { raw_.backward(); }}});
    things.push_back({nullptr, {[this] { raw_.copy_plain(); }}});
    things.push_back({nullptr, {[this] { raw_.copy_streaming(); }}});
    for (RankTimed& thing : things) thing.prepare = [this] { scrubber_.run(); };
    return things;
  }

  void check_all(const ExchangePlan& plan, DType dtype, const ExchangeCheck& check,
                 std::span<Wrong> wrong) {
    if (options_.check == 0) return;
    for (size_t i = 0; i < transports_.size(); ++i) {
      const MatrixView y = output(i, plan, dtype);
      for (const std::span<const float> weights : {std::span<const float>(weights_), {}}) {
        exchanges_[i]->dispatch_all(x(plan, dtype));
        const MatrixView expert_rows = transports_[i]->expert_rows(plan);
        wrong[i].dispatch += check.wrong_in_dispatch(expert_rows);
        check.run_experts(expert_rows);
        poison(y);
        exchanges_[i]->return_all(weights, {}, y);
        wrong[i].combine += check.wrong_in_combine(y, weights, true);
      }
    }
    Wrong& exchange = wrong[transports_.size()];
    Wrong& copy = wrong[transports_.size() + 1];
    exchange.dispatch += raw_.wrong_in_forward();
    exchange.combine += raw_.wrong_in_backward();
    copy.dispatch += raw_.wrong_in_copy(false) + raw_.wrong_in_copy(true);
  }

  /// What the last timed runs left, the experts having done nothing.
  void check_timed(const ExchangePlan& plan, DType dtype, const ExchangeCheck& check,
                   std::span<Wrong> wrong) {
    if (options_.check == 0) return;
    for (size_t i = 0; i < transports_.size(); ++i) {
      wrong[i].combine +=
          check.wrong_in_combine(output(i, plan, dtype), timed_weights(plan), false);
    }
  }

  std::vector<ExchangeRow> rows(const ExchangePlan& plan, DType dtype,
                                const std::vector<std::vector<RankSamples>>& samples,
                                std::span<const Wrong> wrong) {
    const int64_t row_bytes = options_.common.hidden_size * dtype_size(dtype);
    const auto most = [&](int64_t rows) { return reduce_max(comm_, watch_, rows * row_bytes); };
    const std::array<int64_t, 2> bytes = {most(plan.total_send()), most(plan.total_recv())};
    const std::array<int64_t, 2> off_rank = {most(rows_sent_off_rank(plan)),
                                             most(rows_received_off_rank(plan))};
    const size_t packed = transports_.size() - 1;
    const size_t raw = transports_.size();
    const bool streaming = median(samples[raw + 2][0].max_us) < median(samples[raw + 1][0].max_us);
    const RankSamples& copy = samples[streaming ? raw + 2 : raw + 1][0];

    std::vector<ExchangeRow> rows;
    for (size_t thing = 0; thing <= raw; ++thing) {
      for (const size_t step : {0u, 1u}) {
        ExchangeRow row =
            blank_row("cpu", workload_.name(), plan, options_.common.hidden_size, dtype);
        row.direction = step == 0 ? "dispatch" : "combine";
        row.by = thing == raw ? "alltoallv" : std::string(transports_[thing]->name());
        row.row.name = thing < packed ? row.direction : row.by;
        if (thing < packed) row.row.transport = row.by;
        row.samples = samples[thing][step];
        row.bytes = bytes[step];
        row.row.bytes_off_rank = off_rank[step];
        row.to_alltoallv = median_ratio(row.samples.max_us, samples[raw][step].max_us);
        row.to_packed = median_ratio(row.samples.max_us, samples[packed][step].max_us);
        row.to_copy = median_ratio(row.samples.max_us, copy.max_us);
        row.row.wrong = step == 0 ? wrong[thing].dispatch : wrong[thing].combine;
        rows.push_back(std::move(row));
      }
    }
    ExchangeRow row = blank_row("cpu", workload_.name(), plan, options_.common.hidden_size, dtype);
    row.direction = "copy";
    row.by = "copy_bound";
    row.row.name = row.by;
    row.row.workload = workload_.name() + (streaming ? ", non-temporal" : ", memcpy");
    row.samples = copy;
    row.bytes = bytes[0];
    row.row.wrong = wrong[raw + 1].dispatch;
    rows.push_back(std::move(row));

    for (ExchangeRow& each : rows) {
      each.row.samples_us = each.samples.max_us;
      each.row.wrong = reduce_sum(comm_, watch_, *each.row.wrong);
      if (options_.check == 0) each.row.wrong = std::nullopt;
    }
    return rows;
  }

  const ExchangeOptions& options_;
  const Workload& workload_;
  const Topology& topology_;
  const Communicator& comm_;
  Watch& watch_;
  BenchTransports made_;
  PackedAlltoallv packed_;
  RawExchange raw_;
  std::vector<Transport*> transports_;                // those made, then packed_
  std::vector<std::unique_ptr<Exchange>> exchanges_;  // of each
  Buffer x_;                                          // [tokens, hidden_size]
  std::vector<Buffer> outputs_;                       // by transport, [tokens, hidden_size]
  std::vector<float> weights_;                        // [tokens, top_k]
  CacheScrubber scrubber_;
};

}  // namespace

void measure_exchange(const ExchangeOptions& options, const std::vector<std::string>& args,
                      const Communicator& comm, Watch& watch) {
  RankJob job(options.common, options.sizes().back(), args, comm, watch);
  ExchangeBench bench(options, job, comm, watch);
  job.print_head(bench.head() + "# check " + std::to_string(options.check) + "\n#\n" +
                 kExchangeColumns + "#\n" + exchange_titles(false));
  std::vector<ExchangeRow> rows;
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  settle_reporter(watch, [&] {
    for (const DType dtype : options.common.dtypes) {
      for (const int64_t tokens : options.sizes()) {
        for (ExchangeRow& row : bench.measure(dtype, tokens)) {
          job.print(exchange_line(row));
          results.push_back(exchange_json(row));
          rows.push_back(std::move(row));
        }
      }
    }
    job.print(exchange_footer(rows));
  });
  job.finish(std::move(results), total_wrong(rows));
}

}  // namespace hashep::bench
