// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/device_exchange_bench.hpp"

#include <array>
#include <exception>
#include <nlohmann/json.hpp>

#include "benchmarks/device_bench_setup.hpp"
#include "benchmarks/device_exchange_baseline.hpp"
#include "benchmarks/device_exchange_driver.hpp"
#include "benchmarks/device_exchange_input.hpp"
#include "benchmarks/device_queue.hpp"
#include "benchmarks/device_yardsticks.hpp"
#include "benchmarks/exchange_check.hpp"
#include "benchmarks/exchange_table.hpp"
#include "benchmarks/rank_harness.hpp"
#include "benchmarks/rank_job.hpp"
#include "benchmarks/workload.hpp"
#include "comm/gather.hpp"
#include "comm/plan/plan_stats.hpp"
#include "comm/watch.hpp"
#include "launch/binding_report.hpp"

namespace hashep::bench {
namespace {

constexpr int64_t kScrubs = 2;  // of the GPU's L2 cache, to leave nothing of the last sample there

/// Elements out of place, of each direction.
struct Wrong {
  int64_t dispatch = 0;
  int64_t combine = 0;
};

/// All that was found out about one thing.
struct Measured {
  std::string by;
  bool is_transport = false;
  std::vector<RankSamples> samples{};  // by step
  Wrong wrong{};
};

class DeviceExchangeBench {
 public:
  DeviceExchangeBench(const ExchangeOptions& options, const RankJob& job, const BenchGpu& gpu,
                      const Communicator& comm, Watch& watch)
      : options_(options),
        workload_(job.workload()),
        topology_(job.topology()),
        comm_(comm),
        watch_(watch),
        made_(make_device_transports(options, gpu.index, comm, job.topology(), watch)),
        nccl_(comm, watch),
        packed_(nccl_),
        queue_(watch),
        plan_rows_(nccl_, queue_),
        equal_rows_(nccl_, queue_),
        copy_(queue_),
        input_(queue_),
        scrub_(kScrubs * gpu.info.l2_bytes) {
    for (const auto& transport : made_.transports) drivers_.emplace_back(*transport, queue_);
    drivers_.emplace_back(packed_, queue_);
    queue_.set_check([this] {
      for (DeviceExchangeDriver& driver : drivers_) driver.transport().check();
    });
  }

  /// While an error unwinds, the GPU may wait for ranks that are gone, and freeing its memory for
  /// the GPU.
  ~DeviceExchangeBench() {
    if (std::uncaught_exceptions() == 0) return;
    for (DeviceExchangeDriver& driver : drivers_) driver.transport().begin_abort();
    for (DeviceExchangeDriver& driver : drivers_) driver.transport().end_abort();
  }

  std::string head() const {
    std::string names;
    for (const auto& transport : made_.transports) names += " " + std::string(transport->name());
    std::string lines = "# transports:" + names + ", " + nccl_version() + "\n";
    for (const std::string& reason : made_.left_out) lines += "# left out: " + reason + "\n";
    return lines;
  }

  /// All rows of one size.
  std::vector<ExchangeRow> measure(DType dtype, int64_t tokens) {
    const int64_t hidden_size = options_.common.hidden_size;
    const BatchSplit split = workload_.split(tokens);
    const BatchPlan batch = workload_.plan(split, {comm_, topology_, watch_});
    const ExchangePlan& plan = batch.layers.front();
    const Range own = split_range(split.batch_tokens, split.ep_size, split.ep_rank);
    const ExchangeCheck check(
        options_.check != 0 ? workload_.all_experts(split) : std::vector<int32_t>{}, plan.top_k,
        workload_.local_experts(), own);
    input_.make(plan, dtype, hidden_size, own.begin, check);
    for (DeviceExchangeDriver& driver : drivers_) driver.describe(batch.layers, dtype, hidden_size);
    plan_rows_.reserve(MessageRows::of(plan), dtype, hidden_size);
    const int64_t most = reduce_max(comm_, watch_, plan.total_send());
    const int ranks = comm_.size();
    equal_rows_.reserve(MessageRows::equal(ranks, (most + ranks - 1) / ranks), dtype, hidden_size);
    copy_.reserve((plan.tokens + plan.total_send() + 1) / 2, dtype, hidden_size);

    std::vector<Measured> all = things_measured();
    check_all(check, all);
    const std::vector<RankTimed> timed = things_timed(plan);
    DeviceClock clock(queue_);
    auto samples = time_in_turn_on_ranks(comm_, watch_, options_.common.sampling, timed, clock);
    for (size_t i = 0; i < all.size(); ++i) all[i].samples = std::move(samples[i]);
    check_timed(plan, check, all);
    check_all(check, all);
    return rows(plan, dtype, all);
  }

 private:
  // Of what is timed and reported: transports, then the plain baseline, then these.
  size_t packed() const { return drivers_.size() - 1; }
  size_t plan_rows() const { return drivers_.size(); }
  size_t equal_rows() const { return drivers_.size() + 1; }
  size_t copy() const { return drivers_.size() + 2; }

  std::vector<Measured> things_measured() const {
    std::vector<Measured> all;
    for (const DeviceExchangeDriver& driver : drivers_) {
      all.push_back({.by = std::string(driver.name()), .is_transport = true});
    }
    all[packed()].is_transport = false;
    for (const char* name : {"alltoallv", "nccl_alltoall", "copy_bound"})
      all.push_back({.by = name});
    return all;
  }

  /// What is timed, as on CPUs.
  static bool weighs(const ExchangePlan& plan) { return plan.top_k > 1; }

  std::vector<RankTimed> things_timed(const ExchangePlan& plan) {
    std::vector<RankTimed> things;
    const auto weights = input_.gpu_weights(weighs(plan));
    const auto in = [this](Phase phase, auto work) {
      return [this, phase, work] {
        watch_.at({phase, -1, -1});
        work();
      };
    };
    for (DeviceExchangeDriver& driver : drivers_) {
      things.push_back({nullptr,
                        {in(Phase::dispatch, [this, &driver] { driver.dispatch(input_.x()); }),
                         in(Phase::combine, [&driver, weights] { driver.combine(weights); })}});
    }
    things.push_back({nullptr,
                      {in(Phase::dispatch, [this] { plan_rows_.forward(); }),
                       in(Phase::combine, [this] { plan_rows_.backward(); })}});
    things.push_back({nullptr, {in(Phase::dispatch, [this] { equal_rows_.all_to_all(); })}});
    things.push_back({nullptr, {in(Phase::dispatch, [this] { copy_.run(); })}});
    for (RankTimed& thing : things) {
      thing.prepare = [this] {
        fill_async(scrub_.data(), 0, scrub_.capacity(), queue_.stream());
        queue_.wait();
      };
    }
    return things;
  }

  void check_all(const ExchangeCheck& check, std::span<Measured> all) {
    if (options_.check == 0) return;
    for (size_t i = 0; i < drivers_.size(); ++i) {
      check_driver(drivers_[i], check, true, all[i].wrong);
      check_driver(drivers_[i], check, false, all[i].wrong);
    }
    all[plan_rows()].wrong.dispatch += plan_rows_.wrong_in_forward();
    all[plan_rows()].wrong.combine += plan_rows_.wrong_in_backward();
    all[equal_rows()].wrong.dispatch += equal_rows_.wrong_in_all_to_all();
    all[copy()].wrong.dispatch += copy_.wrong();
  }

  void check_driver(DeviceExchangeDriver& driver, const ExchangeCheck& check, bool weighted,
                    Wrong& wrong) {
    const MatrixView expert_rows = driver.expert_rows();
    watch_.barrier();  // until here others may read these rows, from there on write them
    poison(expert_rows, queue_.stream());
    queue_.wait();
    watch_.barrier();
    driver.dispatch(input_.x());
    const MatrixView landed = queue_.download(expert_rows);
    wrong.dispatch += check.wrong_in_dispatch(landed);
    check.run_experts(landed);
    queue_.upload(expert_rows.data, landed.data, landed.bytes());
    poison(driver.output(), queue_.stream());
    driver.combine(input_.gpu_weights(weighted));
    wrong.combine +=
        check.wrong_in_combine(queue_.download(driver.output()), input_.weights(weighted), true);
  }

  /// What the last timed runs left, the experts having done nothing.
  void check_timed(const ExchangePlan& plan, const ExchangeCheck& check, std::span<Measured> all) {
    if (options_.check == 0) return;
    const auto weights = input_.weights(weighs(plan));
    for (size_t i = 0; i < drivers_.size(); ++i) {
      all[i].wrong.combine +=
          check.wrong_in_combine(queue_.download(drivers_[i].output()), weights, false);
    }
  }

  std::vector<ExchangeRow> rows(const ExchangePlan& plan, DType dtype,
                                std::span<const Measured> all) {
    const int64_t row_bytes = options_.common.hidden_size * dtype_size(dtype);
    const auto most = [&](int64_t bytes) { return reduce_max(comm_, watch_, bytes); };
    const std::array<int64_t, 2> bytes = {most(plan.total_send() * row_bytes),
                                          most(plan.total_recv() * row_bytes)};
    const std::array<int64_t, 2> off_rank = {most(rows_sent_off_rank(plan) * row_bytes),
                                             most(rows_received_off_rank(plan) * row_bytes)};
    const int64_t equal = equal_rows_.bytes_sent();
    const auto ratio = [&](const RankSamples& samples, size_t reference, size_t step) {
      return median_ratio(samples.max_us, all[reference].samples[step].max_us);
    };
    std::vector<ExchangeRow> rows;
    for (size_t thing = 0; thing < all.size(); ++thing) {
      for (size_t step = 0; step < all[thing].samples.size(); ++step) {
        const Measured& measured = all[thing];
        ExchangeRow row =
            blank_row("cuda", workload_.name(), plan, options_.common.hidden_size, dtype);
        row.by = measured.by;
        row.direction = step == 0 ? "dispatch" : "combine";
        row.samples = measured.samples[step];
        row.row.samples_us = row.samples.max_us;
        row.row.name = measured.is_transport ? row.direction : row.by;
        if (measured.is_transport) row.row.transport = row.by;
        const int64_t wrong = step == 0 ? measured.wrong.dispatch : measured.wrong.combine;
        row.row.wrong = reduce_sum(comm_, watch_, wrong);
        if (options_.check == 0) row.row.wrong = std::nullopt;
        if (thing == copy()) {
          row.direction = "copy";
          row.bytes = most(copy_.bytes());
        } else if (thing == equal_rows()) {
          row.direction = "equal";
          row.bytes = equal;
          row.row.bytes_off_rank = equal - equal / comm_.size();
        } else {
          row.bytes = bytes[step];
          row.row.bytes_off_rank = off_rank[step];
          row.to_alltoallv = ratio(row.samples, plan_rows(), step);
          row.to_packed = ratio(row.samples, packed(), step);
          row.to_nccl = ratio(row.samples, equal_rows(), 0);
        }
        if (thing != copy()) row.to_copy = ratio(row.samples, copy(), 0);
        rows.push_back(std::move(row));
      }
    }
    return rows;
  }

  const ExchangeOptions& options_;
  const Workload& workload_;
  const Topology& topology_;
  const Communicator& comm_;
  Watch& watch_;
  DeviceTransports made_;
  NcclCommunicator nccl_;  // of the yardsticks
  PackedNccl packed_;
  DeviceQueue queue_;
  RawDeviceExchange plan_rows_;
  RawDeviceExchange equal_rows_;
  DeviceCopy copy_;
  std::vector<DeviceExchangeDriver> drivers_;  // of those made, then of packed_
  DeviceExchangeInput input_;
  DeviceBuffer scrub_;
};

}  // namespace

void measure_device_exchange(const ExchangeOptions& options, const std::vector<std::string>& args,
                             const Communicator& comm, Watch& watch) {
  RankJob job(options.common, options.sizes().back(), args, comm, watch);
  std::vector<ExchangeRow> rows;
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  settle_reporter(watch, [&] {
    const BenchGpu gpu = set_up_gpu(options.gpu, comm, job.topology(), watch);
    job.set_gpus(gpu.info.description, binding_json(gpu.bindings));
    DeviceExchangeBench bench(options, job, gpu, comm, watch);
    job.print_head(gpu_head(gpu) + bench.head() + "# check " + std::to_string(options.check) +
                   "\n#\n" + kExchangeColumns + kDeviceExchangeColumns + "#\n" +
                   exchange_titles(true));
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
