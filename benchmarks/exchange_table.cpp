// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/exchange_table.hpp"

#include <nlohmann/json.hpp>

#include "benchmarks/text_format.hpp"

namespace hashep::bench {
namespace {

std::string ratio_text(const std::optional<double>& ratio) {
  return ratio ? format("%.3f", *ratio) : "-";
}

}  // namespace

ExchangeRow blank_row(std::string_view device, const std::string& workload,
                      const ExchangePlan& plan, int64_t hidden_size, DType dtype) {
  ExchangeRow row;
  row.row.device = device;
  row.row.dtype = dtype_name(dtype);
  row.row.workload = workload;
  row.row.tokens_per_rank = plan.tokens;
  row.row.hidden_size = hidden_size;
  row.row.num_experts = plan.num_experts;
  row.row.top_k = plan.top_k;
  return row;
}

const char* const kExchangeColumns =
    "# tokens      per rank\n"
    "# bytes       rows that a rank sends, those to itself too; of the rank that sends most\n"
    "# by          a transport, or a yardstick: alltoallv (raw MPI_Alltoallv of the same rows, in\n"
    "#             message order already), pack_alltoallv_unpack (permute, MPI_Alltoallv, copy to\n"
    "#             experts; and back), copy_bound (each rank copies the rows it sends in "
    "dispatch,\n"
    "#             all at once: memcpy or non-temporal stores, whichever is faster)\n"
    "# median, p99 us, of samples that are each the slowest rank's, from a barrier to the call's\n"
    "#             end; steps under 100 us: the mean of a burst of dispatch, combine, dispatch "
    "...\n"
    "# rank min, rank max  us, the smallest and the largest of the ranks' own medians\n"
    "# algbw       bytes / median, GB/s (10^9)\n"
    "# busbw       bytes to other ranks / median, GB/s; of the rank that sends most of them\n"
    "# #wrong      elements that are not what they must be, all ranks, before and after timing\n"
    "# /alltoallv, /pack, /copy  time over that yardstick's of the same direction, median over\n"
    "#             rounds: below 1 is faster than the yardstick\n";

const char* const kDeviceExchangeColumns =
    "# With --device cuda:\n"
    "# by          a transport, or a yardstick: alltoallv (one group of NCCL's sends and receives\n"
    "#             of the same rows, one message a rank), pack_alltoallv_unpack (kernel, such a\n"
    "#             group, kernel; and back), nccl_alltoall (NCCL's own all-to-all, as many bytes "
    "to\n"
    "#             each rank, in all what the rank that sends most sends), copy_bound (each GPU\n"
    "#             copies within its memory half of what dispatch reads and writes: the tokens'\n"
    "#             rows and the rows sent; so it reads and writes as much)\n"
    "# median, p99 us, between events on the GPU's stream: the first is recorded after a barrier\n"
    "# /nccl       time over nccl_alltoall's\n"
    "# %copy       copy_bound's time over this one: the share of the bound that is reached\n";

std::string exchange_titles(bool on_gpus) {
  const std::string titles =
      format("#%9s %13s %6s %9s %-22s %11s %11s %11s %11s %8s %8s %7s %10s %8s %8s", "tokens",
             "bytes", "dtype", "direction", "by", "median", "p99", "rank min", "rank max", "algbw",
             "busbw", "#wrong", "/alltoallv", "/pack", "/copy");
  return titles + (on_gpus ? format(" %8s %6s\n", "/nccl", "%copy") : "\n");
}

std::string exchange_line(const ExchangeRow& row) {
  const MeasuredRow& measured = row.row;
  const std::string line = format(
      "%10lld %13lld %6s %9s %-22s %11.2f %11.2f %11.2f %11.2f %8.2f %8.2f %7s %10s %8s %8s",
      static_cast<long long>(measured.tokens_per_rank.value_or(0)),
      static_cast<long long>(row.bytes), measured.dtype.value_or("").c_str(), row.direction.c_str(),
      row.by.c_str(), median(row.samples.max_us), percentile(row.samples.max_us, 0.99),
      row.samples.rank_median_min, row.samples.rank_median_max, row.algbw(), row.busbw(),
      measured.wrong ? std::to_string(*measured.wrong).c_str() : "N/A",
      ratio_text(row.to_alltoallv).c_str(), ratio_text(row.to_packed).c_str(),
      ratio_text(row.to_copy).c_str());
  if (measured.device != "cuda") return line + "\n";
  const std::string share = row.to_copy ? format("%.1f", 100.0 / *row.to_copy) : "-";
  return line + format(" %8s %6s\n", ratio_text(row.to_nccl).c_str(), share.c_str());
}

std::string exchange_footer(std::span<const ExchangeRow> rows) {
  std::string out_of_bounds = "not checked";
  if (rows.front().row.wrong) {
    const int64_t wrong = total_wrong(rows);
    out_of_bounds = std::to_string(wrong) + (wrong == 0 ? " OK" : " FAILED");
  }
  double sum = 0.0;
  int64_t transports = 0;
  for (const ExchangeRow& row : rows) {
    if (!row.row.transport) continue;
    sum += row.busbw();
    ++transports;
  }
  return "# Out of bounds values : " + out_of_bounds + "\n" +
         format("# Avg bus bandwidth    : %.4f (dispatch and combine of the transports, GB/s)\n",
                sum / static_cast<double>(transports));
}

nlohmann::ordered_json exchange_json(const ExchangeRow& row) {
  nlohmann::ordered_json json = row_json(row.row);
  json["direction"] = row.direction;
  json["bytes"] = row.bytes;
  json["runs_per_sample"] = row.samples.burst;
  json["rank_median_min_us"] = row.samples.rank_median_min;
  json["rank_median_max_us"] = row.samples.rank_median_max;
  json["algbw_gb_s"] = row.algbw();
  json["busbw_gb_s"] = row.busbw();
  json["ratio_to"] = {{"alltoallv", or_null(row.to_alltoallv)},
                      {"pack_alltoallv_unpack", or_null(row.to_packed)},
                      {"copy_bound", or_null(row.to_copy)}};
  if (row.row.device == "cuda") json["ratio_to"]["nccl_alltoall"] = or_null(row.to_nccl);
  return json;
}

int64_t total_wrong(std::span<const ExchangeRow> rows) {
  int64_t wrong = 0;
  for (const ExchangeRow& row : rows) wrong += row.row.wrong.value_or(0);
  return wrong;
}

}  // namespace hashep::bench
