// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/exchange_bench.hpp"

#include <array>
#include <exception>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "benchmarks/exchange_check.hpp"
#include "benchmarks/exchange_driver.hpp"
#include "benchmarks/exchange_input.hpp"
#include "benchmarks/exchange_setup.hpp"
#include "benchmarks/exchange_table.hpp"
#include "benchmarks/rank_harness.hpp"
#include "benchmarks/rank_job.hpp"
#include "benchmarks/workload.hpp"
#include "comm/gather.hpp"
#include "comm/watch.hpp"

namespace hashep::bench {
namespace {

constexpr std::array<Phase, 2> kPhases = {Phase::dispatch, Phase::combine};  // of steps

/// One step of what is timed, and all that was found out about it.
struct Step {
  std::string direction;
  std::function<void()> run;
  MovedBytes moved{};
  RankSamples samples{};
  int64_t wrong = 0;  // elements of this rank out of place
};

/// A transport or a yardstick.
struct Thing {
  std::string by;
  std::string way;  // of several of that name
  bool is_transport = false;
  std::vector<Step> steps;
};

class ExchangeBench {
 public:
  ExchangeBench(const ExchangeOptions& options, const RankJob& job, const Communicator& comm,
                Watch& watch, ExchangeSetup& setup)
      : options_(options),
        workload_(job.workload()),
        comm_(comm),
        watch_(watch),
        device_(setup.device()),
        yardsticks_(setup.yardsticks()),
        input_(device_) {
    for (const auto& transport : setup.made().transports) {
      drivers_.emplace_back(*transport, device_);
    }
    drivers_.emplace_back(setup.packed(), device_);
    device_.set_check([this] {
      for (ExchangeDriver& driver : drivers_) driver.transport().check();
    });
  }

  /// While an error unwinds, a GPU may wait for ranks that are gone, and freeing its memory for the
  /// GPU.
  ~ExchangeBench() {
    if (std::uncaught_exceptions() == 0) return;
    for (ExchangeDriver& driver : drivers_) driver.transport().begin_abort();
    for (ExchangeDriver& driver : drivers_) driver.transport().end_abort();
  }

  /// All rows of one size.
  std::vector<ExchangeRow> measure(DType dtype, int64_t tokens) {
    const int64_t hidden_size = options_.common.hidden_size;
    const BatchSplit split = workload_.split(tokens);
    const BatchPlan batch = workload_.plan(split, comm_, watch_);
    const ExchangePlan& plan = batch.layers.front();
    const Range own = split_range(split.batch_tokens, split.ep_size, split.ep_rank);
    const ExchangeCheck check(
        options_.check != 0 ? workload_.all_experts(split) : std::vector<int32_t>{}, plan.top_k,
        workload_.local_experts(), own);
    input_.make(plan, dtype, hidden_size, own.begin, check);
    for (ExchangeDriver& driver : drivers_) driver.describe(batch.layers, dtype, hidden_size);
    const ExchangeSize size{plan, dtype, hidden_size, reduce_max(comm_, watch_, plan.total_send())};
    for (ExchangeYardstick* yardstick : yardsticks_) yardstick->reserve(size);

    std::vector<Thing> things = make_things(size);
    check_all(check, things);
    time(things);
    check_timed(plan, check, things);
    check_all(check, things);
    return make_rows(size, std::move(things));
  }

 private:
  /// What is timed: as layers without scores have it where top_k is 1, and as those with scores
  /// where it is more.
  static bool weighs(const ExchangePlan& plan) { return plan.top_k > 1; }

  /// Transports, then the plain baseline, then the yardsticks.
  std::vector<Thing> make_things(const ExchangeSize& size) {
    std::vector<Thing> things;
    const auto weights = input_.weights(weighs(size.plan));
    for (ExchangeDriver& driver : drivers_) {
      const auto dispatch = [this, &driver] { driver.dispatch(input_.x()); };
      const auto combine = [&driver, weights] { driver.combine(weights); };
      things.push_back({std::string(driver.name()),
                        "",
                        &driver != &drivers_.back(),
                        {{"dispatch", dispatch, moved_by_plan(size, 0)},
                         {"combine", combine, moved_by_plan(size, 1)}}});
    }
    for (ExchangeYardstick* yardstick : yardsticks_) {
      Thing thing{std::string(yardstick->name()), std::string(yardstick->way()), false, {}};
      for (size_t step = 0; step < yardstick->directions().size(); ++step) {
        thing.steps.push_back({std::string(yardstick->directions()[step]),
                               [yardstick, step] { yardstick->run(step); },
                               yardstick->moved(step)});
      }
      things.push_back(std::move(thing));
    }
    return things;
  }

  void time(std::vector<Thing>& things) {
    std::vector<RankTimed> timed;
    for (const Thing& thing : things) {
      RankTimed& one = timed.emplace_back();
      one.prepare = [this] { device_.scrub(); };
      for (size_t step = 0; step < thing.steps.size(); ++step) {
        one.steps.push_back([this, step, &run = thing.steps[step].run] {
          watch_.at({kPhases[step], -1, -1});
          run();
        });
      }
    }
    const auto samples =
        time_in_turn_on_ranks(comm_, watch_, options_.common.sampling, timed, device_.clock());
    for (size_t i = 0; i < things.size(); ++i) {
      for (size_t step = 0; step < samples[i].size(); ++step) {
        things[i].steps[step].samples = samples[i][step];
      }
    }
  }

  void check_all(const ExchangeCheck& check, std::span<Thing> things) {
    if (options_.check == 0) return;
    for (size_t i = 0; i < drivers_.size(); ++i) {
      check_driver(drivers_[i], check, true, things[i]);
      check_driver(drivers_[i], check, false, things[i]);
    }
    for (size_t i = 0; i < yardsticks_.size(); ++i) {
      std::vector<Step>& steps = things[drivers_.size() + i].steps;
      for (size_t step = 0; step < steps.size(); ++step) {
        steps[step].wrong += yardsticks_[i]->wrong_in(step);
      }
    }
  }

  void check_driver(ExchangeDriver& driver, const ExchangeCheck& check, bool weighted,
                    Thing& thing) {
    const MatrixView expert_rows = driver.expert_rows();
    watch_.barrier();  // until here others may read these rows, from there on write them
    device_.poison(expert_rows);
    device_.wait();
    watch_.barrier();
    driver.dispatch(input_.x());
    const MatrixView landed = device_.download(expert_rows);
    thing.steps[0].wrong += check.wrong_in_dispatch(landed);
    check.run_experts(landed);
    device_.upload(expert_rows.data, landed.data, landed.bytes());
    device_.poison(driver.output());
    driver.combine(input_.weights(weighted));
    thing.steps[1].wrong += check.wrong_in_combine(device_.download(driver.output()),
                                                   input_.host_weights(weighted), true);
  }

  /// What the last timed runs left, the experts having done nothing.
  void check_timed(const ExchangePlan& plan, const ExchangeCheck& check, std::span<Thing> things) {
    if (options_.check == 0) return;
    for (size_t i = 0; i < drivers_.size(); ++i) {
      things[i].steps[1].wrong += check.wrong_in_combine(device_.download(drivers_[i].output()),
                                                         input_.host_weights(weighs(plan)), false);
    }
  }

  /// Of yardsticks that share a name the fastest stays, with what is wrong in all of them.
  static void leave_fastest(std::vector<Thing>& things) {
    const auto time_of = [](const Thing& thing) {
      return median(thing.steps.front().samples.max_us);
    };
    for (size_t i = 1; i < things.size();) {
      Thing& last = things[i - 1];
      Thing& next = things[i];
      if (next.by != last.by) {
        ++i;
        continue;
      }
      const int64_t wrong = last.steps.front().wrong + next.steps.front().wrong;
      if (time_of(next) < time_of(last)) std::swap(last, next);
      last.steps.front().wrong = wrong;
      things.erase(things.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }

  /// Median over rounds of a step's time over that of the yardstick's step of that direction.
  static std::optional<double> ratio(const Step& step, const std::vector<Thing>& things,
                                     std::string_view by, std::string_view direction) {
    for (const Thing& thing : things) {
      if (thing.by != by) continue;
      for (const Step& other : thing.steps) {
        if (other.direction == direction) {
          return median_ratio(step.samples.max_us, other.samples.max_us);
        }
      }
    }
    return std::nullopt;
  }

  std::vector<ExchangeRow> make_rows(const ExchangeSize& size, std::vector<Thing> things) {
    leave_fastest(things);
    const std::string packed(drivers_.back().name());
    std::vector<ExchangeRow> rows;
    for (const Thing& thing : things) {
      for (const Step& step : thing.steps) {
        ExchangeRow row =
            blank_row(device_.name(), workload_.name(), size.plan, size.hidden_size, size.dtype);
        row.by = thing.by;
        row.direction = step.direction;
        row.samples = step.samples;
        row.bytes = reduce_max(comm_, watch_, step.moved.all);
        row.row.name = thing.is_transport ? row.direction : row.by;
        if (thing.is_transport) row.row.transport = row.by;
        if (!thing.way.empty()) row.row.workload = workload_.name() + ", " + thing.way;
        row.row.samples_us = row.samples.max_us;
        if (step.moved.off_rank) {
          row.row.bytes_off_rank = reduce_max(comm_, watch_, *step.moved.off_rank);
        }
        row.row.wrong = reduce_sum(comm_, watch_, step.wrong);
        if (options_.check == 0) row.row.wrong = std::nullopt;
        row.to_alltoallv = ratio(step, things, "alltoallv", step.direction);
        row.to_packed = ratio(step, things, packed, step.direction);
        if (row.to_packed) row.to_nccl = ratio(step, things, "nccl_alltoall", "equal");
        if (step.direction != "copy") row.to_copy = ratio(step, things, "copy_bound", "copy");
        rows.push_back(std::move(row));
      }
    }
    return rows;
  }

  const ExchangeOptions& options_;
  const Workload& workload_;
  const Communicator& comm_;
  Watch& watch_;
  BenchDevice& device_;
  std::vector<ExchangeYardstick*> yardsticks_;
  std::vector<ExchangeDriver> drivers_;  // of the transports made, then of the plain baseline
  ExchangeInput input_;
};

}  // namespace

void measure_exchange(const ExchangeOptions& options, MakeExchangeSetup& make_setup,
                      const std::vector<std::string>& args, const Communicator& comm,
                      Watch& watch) {
  RankJob job(options.common, options.sizes().back(), args, comm, watch);
  const bool on_gpus = options.device == Device::cuda;
  std::vector<ExchangeRow> rows;
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  settle_reporter(watch, [&] {
    const auto setup = make_setup(options, job, comm, watch);
    ExchangeBench bench(options, job, comm, watch, *setup);
    job.print_head(setup->device_lines() + setup->made().lines(setup->library_note()) + "# check " +
                   std::to_string(options.check) + "\n#\n" + kExchangeColumns +
                   (on_gpus ? kDeviceExchangeColumns : "") + "#\n" + exchange_titles(on_gpus));
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
