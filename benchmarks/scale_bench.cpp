// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/scale_bench.hpp"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "benchmarks/rank_group.hpp"
#include "benchmarks/rank_job.hpp"
#include "benchmarks/scale_case.hpp"
#include "benchmarks/scale_table.hpp"
#include "comm/agreement.hpp"
#include "comm/core_share.hpp"
#include "comm/gather.hpp"
#include "core/format.hpp"

namespace hashep::bench {
namespace {

constexpr double kPartOfCore = 1e-6;  // what rounding may take

nlohmann::ordered_json parts_json(const ScaleParts& parts, const char* gemm) {
  return {{"imbalance", parts.imbalance},
          {"exchange", parts.exchange},
          {gemm, parts.gemm},
          {"other", parts.other}};
}

/// All repeats of one point.
struct PointResults {
  LayerRow row;  // with all samples
  std::vector<ScaleParts> parts;

  void add(const ScaleMeasurement& measured) {
    std::vector<double> samples = std::move(row.samples_us);
    samples.insert(samples.end(), measured.row.samples_us.begin(), measured.row.samples_us.end());
    const RankSamples before = row.samples;
    row = measured.row;
    row.samples_us = std::move(samples);
    if (!parts.empty()) {
      row.samples.rank_median_min = std::min(row.samples.rank_median_min, before.rank_median_min);
      row.samples.rank_median_max = std::max(row.samples.rank_median_max, before.rank_median_max);
    }
    parts.push_back(measured.parts);
  }
};

/// The measurements of one launch, and what they come to.
class ScaleRun {
 public:
  ScaleRun(const ScaleOptions& options, const RankJob& job, const Communicator& comm, Watch& watch)
      : options_(options),
        job_(job),
        comm_(comm),
        watch_(watch),
        grants_(gather_core_grants(job.topology().node, watch)) {
    agree(comm, watch, [&] { plan_ = plan_scaling(options, comm.size()); });
    for (const int size : plan_.sizes) {
      groups_.push_back(std::make_unique<RankGroup>(comm, job.topology().nodes, watch, size));
    }
  }

  /// Whether the ranks of a group are more than the cores of their node, as rank 0 sees it.
  bool shares_cores(const RankGroup& group) const {
    if (!group.is_member()) return false;
    const auto ranks = static_cast<size_t>(group.topology().node.size());
    const CoreShare share = share_of_cores(std::span(grants_).first(ranks), 0);
    return share.cores + kPartOfCore < static_cast<double>(options_.layer.common.threads);
  }

  void note_shared_cores() const {
    for (const auto& group : groups_) {
      if (!shares_cores(*group)) continue;
      job_.print("# note: from " + std::to_string(group->size()) +
                 " ranks on, ranks or their threads outnumber this node's cores: times (*) tell of "
                 "shared cores, not of scaling\n");
      return;
    }
  }

  /// Collective. Adds what was wrong.
  void measure(DType dtype) {
    results_.assign(plan_.points.size(), {});
    for (int repeat = 0; repeat < options_.repeats; ++repeat) {
      for (size_t i = 0; i < plan_.points.size(); ++i) {
        RankGroup& group = group_of(plan_.points[i]);
        int64_t wrong = 0;
        group.run([&] {
          const ScaleMeasurement measured = measure_point(options_, plan_.points[i], dtype, group);
          results_[i].add(measured);
          print_progress(repeat, measured.row, plan_.points[i].ranks);
          if (comm_.rank() == 0) wrong = measured.wrong;
        });
        wrong_ += reduce_sum(comm_, watch_, wrong);
      }
    }
  }

  /// On rank 0: prints the table of the newest measurements, and adds their rows.
  void report(nlohmann::ordered_json& rows) const {
    if (comm_.rank() != 0) return;
    job_.print(kScaleColumns);
    for (const ScaleSeries& series : plan_.series) {
      const size_t first = series.points.front();
      for (const size_t i : series.points) report_point(series, first, i, rows);
    }
  }

  int64_t wrong() const { return wrong_; }

 private:
  void print_progress(int repeat, const MeasuredRow& row, int ranks) const {
    job_.print(format(
        "# repeat %d of %d: %s, %d rank%s, %lld tokens per rank: layer %.1f us\n", repeat + 1,
        options_.repeats, row.dtype.value_or("").c_str(), ranks, ranks == 1 ? "" : "s",
        static_cast<long long>(row.tokens_per_rank.value_or(0)), median(row.samples_us)));
  }

  RankGroup& group_of(const ScalePoint& point) const {
    const auto found = std::find(plan_.sizes.begin(), plan_.sizes.end(), point.ranks);
    return *groups_[found - plan_.sizes.begin()];
  }

  void report_point(const ScaleSeries& series, size_t first, size_t i,
                    nlohmann::ordered_json& rows) const {
    const ScalePoint& point = plan_.points[i];
    const PointResults& here = results_[i];
    const Scaling scale =
        scaling(results_[first].parts, here.parts, series.ideal_share(plan_.points[first], point));
    LayerRow row = here.row;
    row.name = series.name;
    const RankGroup& group = group_of(point);
    job_.print(scale_line(row, point.ranks, scale, shares_cores(group)));
    nlohmann::ordered_json json = row_json(row);
    json["ranks"] = point.ranks;
    json["nodes"] = group.topology().nodes.num_nodes();
    json["shares_cores"] = shares_cores(group);
    json["runs_per_sample"] = row.samples.burst;  // of the last repeat
    json["rank_median_min_us"] = row.samples.rank_median_min;
    json["rank_median_max_us"] = row.samples.rank_median_max;
    json["base_ranks"] = plan_.points[first].ranks;
    json["efficiency"] = scale.efficiency;
    json["efficiency_min"] = scale.efficiency_min;
    json["efficiency_max"] = scale.efficiency_max;
    json["loss"] = parts_json(scale.loss, "gemm_shape");
    json["median_repeat"] = scale.repeat;
    json["parts_us"] = nlohmann::ordered_json::array();
    for (const ScaleParts& parts : here.parts) {
      json["parts_us"].push_back(parts_json(parts, "gemm"));
    }
    rows.push_back(std::move(json));
  }

  const ScaleOptions& options_;
  const RankJob& job_;
  const Communicator& comm_;
  Watch& watch_;
  std::vector<CoreGrant> grants_;  // of the ranks of this node
  ScalePlan plan_;
  std::vector<std::unique_ptr<RankGroup>> groups_;  // one for each of plan_.sizes
  std::vector<PointResults> results_;               // on members, one for each of plan_.points
  int64_t wrong_ = 0;
};

}  // namespace

void measure_scale(const ScaleOptions& options, const std::vector<std::string>& args,
                   const Communicator& comm, Watch& watch) {
  const RankOptions& common = options.layer.common;
  RankJob job(common, common.tokens_per_rank, args, comm, watch);
  ScaleRun run(options, job, comm, watch);
  job.print_head("# ffn size " + std::to_string(options.ffn_size) + ", " +
                 std::string(activation_name(options.layer.activation)) + ", score " +
                 std::string(score_name(options.layer.score)) + ", repeats " +
                 std::to_string(options.repeats) + "\n");
  run.note_shared_cores();
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const DType dtype : common.dtypes) {
    run.measure(dtype);
    run.report(results);
  }
  job.finish(std::move(results), run.wrong());
}

}  // namespace hashep::bench
