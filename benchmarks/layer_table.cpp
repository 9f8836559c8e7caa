// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/layer_table.hpp"

#include <nlohmann/json.hpp>

#include "benchmarks/text_format.hpp"

namespace hashep::bench {
namespace {

std::string number_text(const char* pattern, const std::optional<double>& value) {
  return value ? format(pattern, *value) : "-";
}

std::string percent_text(const std::optional<double>& share) {
  return share ? format("%.1f", 100.0 * *share) : "-";
}

}  // namespace

const char* const kLayerColumns =
    "# name        a phase, layer, or a yardstick. route: ids -> experts. plan: the count exchange "
    "(what\n"
    "#             is left of it), the plans, and making ready for them. gate: weights of the "
    "choices;\n"
    "#             with --router learned the choice too, as a part of route.\n"
    "#             dispatch, experts, shared_experts, combine. layer: all that a rank does from "
    "one\n"
    "#             batch to the next, planning included. gemm_alone: the GEMMs of the same rows "
    "with\n"
    "#             nothing else. copy_bound: each rank copies the rows that it sends in dispatch, "
    "all\n"
    "#             at once: memcpy or non-temporal stores, whichever is faster\n"
    "#             --backward: step is forward and backward, dispatch_backward to combine_backward "
    "are\n"
    "#             its parts; optimizer: AdamW, and packing what it leaves; gemm_alone_backward: "
    "the\n"
    "#             GEMMs of backward\n"
    "# planning    ahead: one exchange a batch for all layers, while the batch before computes; "
    "route is\n"
    "#             of the next batch then, plan of this one. inline: route, exchange and plan in "
    "each\n"
    "#             layer, as with a router that is known at run time only. at_hand: with plans "
    "made\n"
    "#             before the clock starts, to tell what planning costs by\n"
    "# median, p90, p99  us, of all layers of a batch, of samples that are each the slowest "
    "rank's;\n"
    "#             batches under 10 ms: the mean of a burst of them\n"
    "# rank min, rank max  us, the smallest and the largest of the ranks' own medians\n"
    "# tokens/s    of all ranks, through all layers\n"
    "# GFLOP/s     2 * rows * hidden size * ffn size * matrices of all ranks' routed experts, over "
    "that\n"
    "#             time (10^9)\n"
    "# %gemm, %copy  gemm_alone's and copy_bound's time over this one's, median over rounds\n"
    "# #wrong      rows that are not what they must be, all ranks, before and after timing\n";

std::string layer_titles() {
  return format("#%14s %8s %6s %6s %6s %12s %12s %12s %12s %12s %10s %8s %6s %6s %7s\n", "name",
                "planning", "by", "dtype", "ffn", "median", "p90", "p99", "rank min", "rank max",
                "tokens/s", "GFLOP/s", "%gemm", "%copy", "#wrong");
}

std::string layer_line(const LayerRow& row) {
  return format(
      "%15s %8s %6s %6s %6lld %12.2f %12.2f %12.2f %12.2f %12.2f %10s %8s %6s %6s %7s\n",
      row.name.c_str(), row.when ? plan_when_name(*row.when) : "-",
      row.transport.value_or("-").c_str(), row.dtype.value_or("").c_str(),
      static_cast<long long>(row.ffn_size.value_or(0)), median(row.samples_us),
      percentile(row.samples_us, 0.90), percentile(row.samples_us, 0.99),
      row.samples.rank_median_min, row.samples.rank_median_max,
      number_text("%.0f", row.tokens_per_s).c_str(), number_text("%.2f", row.gflops).c_str(),
      percent_text(row.share_of_gemm_bound).c_str(), percent_text(row.share_of_copy_bound).c_str(),
      row.wrong ? std::to_string(*row.wrong).c_str() : "-");
}

nlohmann::ordered_json layer_json(const LayerRow& row) {
  nlohmann::ordered_json json = row_json(row);
  json["planning"] = row.when ? nlohmann::ordered_json(plan_when_name(*row.when)) : nullptr;
  json["router"] = row.router;
  json["placement"] = row.placement;
  json["num_layers"] = row.num_layers;
  json["runs_per_sample"] = row.samples.burst;
  json["rank_median_min_us"] = row.samples.rank_median_min;
  json["rank_median_max_us"] = row.samples.rank_median_max;
  json["tokens_per_s"] = or_null(row.tokens_per_s);
  json["gflops"] = or_null(row.gflops);
  json["share_of_gemm_bound"] = or_null(row.share_of_gemm_bound);
  json["share_of_copy_bound"] = or_null(row.share_of_copy_bound);
  return json;
}

}  // namespace hashep::bench
