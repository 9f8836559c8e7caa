// SPDX-License-Identifier: Apache-2.0
// check_json result FILE RANKS: FILE is a result of `hashep run` as docs/design.md has it ("Result
// JSON"). check_json train FILE RANKS: of `hashep train`. check_json trace FILE RANKS: FILE is a
// Chrome trace with one thread per rank. check_json exchange|layer|scale|plan FILE RANKS: FILE is a
// result of that hashep-bench, in which nothing is wrong.
#include <cmath>
#include <cstdio>
#include <exception>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>

namespace {

using Json = nlohmann::json;

void require(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error(what);
}

void require_keys(const Json& object, std::initializer_list<const char*> keys) {
  for (const char* key : keys) require(object.contains(key), std::string("no key ") + key);
}

void check_row(const Json& row) {
  require_keys(
      row, {"name", "transport", "device", "dtype", "workload", "tokens_per_rank", "hidden_size",
            "ffn_size", "num_experts", "top_k", "bytes_off_rank", "median_us", "p50_us", "p90_us",
            "p99_us", "min_us", "samples_us", "max_over_ranks", "wrong"});
  const std::string name = row["name"];
  require(row["max_over_ranks"] == true, name + ": max_over_ranks");
  require(!row["samples_us"].empty(), name + ": no samples");
  require(row["min_us"] <= row["median_us"] && row["median_us"] <= row["p90_us"] &&
              row["p90_us"] <= row["p99_us"],
          name + ": percentiles out of order");
}

void check_train(const Json& result, int ranks) {
  require_keys(result,
               {"program", "version", "commit", "date", "args", "machine", "ranks", "results"});
  require(result["program"] == "hashep train", "program");
  require(result["ranks"] == ranks, "ranks");
  const Json& row = result["results"].at(0);
  check_row(row);
  require(row.at("tokens_per_s") > 0.0, "tokens_per_s");
  const size_t steps = row["samples_us"].size();
  for (const char* column :
       {"step", "loss", "learning_rate", "gradient_norm", "held_out_loss", "balance"}) {
    require(row.at("curve").at(column).size() == steps, std::string("curve: ") + column);
  }
  require(row["curve"]["held_out_loss"].back() > 0.0, "held_out_loss");
}

/// Returns whether the result is of GPUs, and then each rank has its binding.
bool check_device(const Json& result, int ranks) {
  const bool on_gpus = result["results"].at(0).at("device") == "cuda";
  require(result.contains("binding") == on_gpus, "binding");
  require(!on_gpus || result["machine"].at("gpu").is_string(), "gpu");
  for (int rank = 0; on_gpus && rank < ranks; ++rank) {
    const Json& binding = result["binding"].at(rank);
    require_keys(binding, {"host", "gpu", "name", "pci", "numa_node", "nic", "cores"});
    require(binding.at("rank") == rank, "binding out of order");
  }
  return on_gpus;
}

void check_result(const Json& result, int ranks) {
  require_keys(result, {"program", "version", "commit", "date", "args", "machine", "ranks",
                        "results", "phases", "tokens_per_s", "tokens_per_s_wall", "load",
                        "planning_exchanges", "collectives_in_step", "peak_rss_bytes", "model"});
  require_keys(result["model"],
               {"folder", "num_hash_layers", "hidden_size", "moe_intermediate_size",
                "n_routed_experts", "n_shared_experts", "num_experts_per_tok", "vocab_size",
                "scoring_func", "norm_topk_prob", "routed_scaling_factor", "hidden_act",
                "swiglu_limit", "routing", "weights", "unused_tensors", "ignored_keys"});
  require_keys(result["machine"], {"cpu", "cores", "gpu", "mpi"});
  require_keys(result["load"], {"expert_max_over_mean", "rank_max_over_mean"});
  require(result["program"] == "hashep run", "program");
  require(result["ranks"] == ranks, "ranks");
  require(result["args"].is_array() && result["args"].size() > 1, "args");
  require(result["tokens_per_s"] > 0.0, "tokens_per_s");
  require(result["tokens_per_s_wall"] > 0.0, "tokens_per_s_wall");
  // Of several ranks another one may be the slowest in each step.
  require(ranks > 1 || result["tokens_per_s_wall"] < result["tokens_per_s"], "the loop's time");
  require(result["peak_rss_bytes"] > 1000000, "peak_rss_bytes");
  require(result["load"]["expert_max_over_mean"] >= 1.0, "load");
  check_device(result, ranks);
  std::set<std::string> names;
  for (const Json& row : result["results"]) {
    check_row(row);
    names.insert(row["name"]);
    require(result["phases"].at(row["name"].get<std::string>()) == row, "phases differ");
  }
  for (const char* phase : {"route", "plan", "dispatch", "experts", "combine", "step"}) {
    require(names.contains(phase), std::string("no phase ") + phase);
  }
}

void check_bench_head(const Json& result, int ranks) {
  require_keys(result, {"program", "version", "commit", "date", "args", "machine", "ranks",
                        "results", "threads_per_rank"});
  require_keys(result["machine"], {"cpu", "cores", "gpu", "mpi"});
  require(result["program"] == "hashep-bench", "program");
  require(result["ranks"] == ranks, "ranks");
  require(result["machine"]["mpi"].is_string(), "mpi");
  require(!result["results"].empty(), "results");
}

/// Rows of one size and dtype come together: dispatch and combine of each transport first.
void check_exchange(const Json& result, int ranks) {
  check_bench_head(result, ranks);
  const bool on_gpus = check_device(result, ranks);
  std::map<std::string, int> rows;  // by name
  for (const Json& row : result["results"]) {
    check_row(row);
    const std::string name = row["name"];
    ++rows[name];
    require(row["wrong"] == 0, name + ": wrong");
    require((row["device"] == "cuda") == on_gpus, name + ": device");
    require_keys(row, {"direction", "bytes", "runs_per_sample", "rank_median_min_us",
                       "rank_median_max_us", "algbw_gb_s", "busbw_gb_s", "ratio_to"});
    require(row["rank_median_min_us"] <= row["rank_median_max_us"], name + ": medians of ranks");
    require(row["algbw_gb_s"] > 0.0, name + ": algbw");
    if (name == "copy_bound") continue;
    require((row["busbw_gb_s"] > 0.0) == (ranks > 1), name + ": busbw");
    require((row["bytes_off_rank"] > 0) == (ranks > 1), name + ": bytes_off_rank");
    if (on_gpus) require(row["ratio_to"].contains("nccl_alltoall"), name + ": ratio_to");
    if (name == "nccl_alltoall") continue;
    for (const char* yardstick : {"alltoallv", "pack_alltoallv_unpack", "copy_bound"}) {
      require(row["ratio_to"].at(yardstick) > 0.0, name + ": ratio_to");
    }
    require(row["transport"].is_string() == (name == "dispatch" || name == "combine"), "transport");
  }
  const int sizes = rows["copy_bound"];
  require(sizes > 0, "no copy_bound");
  require(rows["alltoallv"] == 2 * sizes, "alltoallv there and back");
  require(rows["nccl_alltoall"] == (on_gpus ? sizes : 0), "nccl_alltoall");
  require(rows["pack_alltoallv_unpack"] == 2 * sizes, "pack_alltoallv_unpack there and back");
  require(rows["dispatch"] >= sizes && rows["dispatch"] == rows["combine"], "transports");
}

/// What the rows of a layer and its yardsticks have beside those of others.
void check_layer_row(const Json& row, int ranks) {
  const std::string name = row["name"];
  require_keys(row, {"planning", "router", "placement", "num_layers", "runs_per_sample",
                     "rank_median_min_us", "rank_median_max_us", "tokens_per_s", "gflops",
                     "share_of_gemm_bound", "share_of_copy_bound"});
  require(row["rank_median_min_us"] <= row["rank_median_max_us"], name + ": medians of ranks");
  require(row["router"].is_string() && row["num_layers"] > 0, name + ": what was run");
  const bool is_yardstick = name == "gemm_alone" || name == "copy_bound";
  require(row["planning"].is_null() == is_yardstick, name + ": planning");
  require(row["transport"].is_null() == is_yardstick, name + ": transport");
  const bool computes = name == "layer" || name == "experts";
  const bool moves = name == "dispatch" || name == "combine";
  const auto is_there = [&](const char* key, bool expected) {
    require(expected ? row[key] > 0.0 : row[key].is_null(), name + ": " + key);
  };
  is_there("tokens_per_s", name == "layer");
  is_there("gflops", computes || name == "gemm_alone");
  is_there("share_of_gemm_bound", computes);
  is_there("share_of_copy_bound", moves);
  if (moves) require((row["bytes_off_rank"] > 0) == (ranks > 1), name + ": bytes_off_rank");
}

/// Each case has all phases and the layer in each way of planning, and the yardsticks once.
void check_layer(const Json& result, int ranks) {
  check_bench_head(result, ranks);
  std::map<std::string, int> rows;  // by name and planning
  for (const Json& row : result["results"]) {
    check_row(row);
    check_layer_row(row, ranks);
    const std::string name = row["name"];
    ++rows[name + " " + row["planning"].dump()];
    require(row["wrong"] == 0, name + ": wrong");
    if (name == "layer") require(row["ratio_to"].at("gemm_alone") > 0.0, "ratio to gemm_alone");
    if (!row.contains("planning_gain")) continue;
    ++rows["gain"];
    for (const char* measure : {"by_phases", "by_steps"}) {
      require_keys(row["planning_gain"].at(measure), {"ahead_us", "inline_us", "hidden"});
    }
    require(row["planning_gain"]["by_phases"]["inline_us"] > 0.0, "planning costs time");
  }
  const int cases = rows["gemm_alone null"];
  require(cases > 0 && rows["copy_bound null"] == cases, "yardsticks");
  int ways = 0;
  for (const std::string planning : {"\"ahead\"", "\"inline\""}) {
    if (rows["layer " + planning] == 0) continue;
    ++ways;
    for (const char* name :
         {"route ", "plan ", "gate ", "dispatch ", "experts ", "combine ", "layer "}) {
      require(rows[name + planning] == cases, "rows of " + (name + planning));
    }
  }
  require(ways > 0, "no layer");
  const int compared = ways > 1 ? cases : 0;
  require(rows["layer \"at_hand\""] == compared && rows["gain"] == compared, "planning compared");
}

/// The four parts of a time or a loss, added up.
double sum_of(const Json& parts, const char* gemm) {
  double sum = 0.0;
  for (const char* part : {"imbalance", "exchange", gemm, "other"}) {
    sum += parts.at(part).get<double>();
  }
  return sum;
}

/// Rows of one mode and dtype come together, by rising size.
void check_scale(const Json& result, int ranks) {
  check_bench_head(result, ranks);
  Json first;  // of the mode and dtype
  for (const Json& row : result["results"]) {
    check_row(row);
    const std::string name = row["name"];
    require(name == "strong" || name == "weak", "name " + name);
    require(row["wrong"] == 0, name + ": wrong");
    if (first.is_null() || first["name"] != name || first["dtype"] != row["dtype"]) {
      first = row;
      require(row["efficiency"] == 1.0, name + ": efficiency of the first size");
    }
    require(row["ranks"] <= ranks && row["ranks"] >= first["ranks"], name + ": ranks");
    require(
        row["efficiency_min"] <= row["efficiency"] && row["efficiency"] <= row["efficiency_max"],
        name + ": efficiencies");
    const double efficiency = row["efficiency"];
    require(std::abs(sum_of(row["loss"], "gemm_shape") - (1.0 - efficiency)) < 1e-9,
            name + ": losses do not add up to 1 - efficiency");
    const size_t repeat = row["median_repeat"];
    const double then = sum_of(first["parts_us"].at(repeat), "gemm");
    const double now = sum_of(row["parts_us"].at(repeat), "gemm");
    const double ideal = name == "weak" ? then
                                        : then * static_cast<double>(first["ranks"]) /
                                              static_cast<double>(row["ranks"]);
    require(std::abs(ideal / now - efficiency) < 1e-9, name + ": efficiency");
    require(row["samples_us"].size() % row["parts_us"].size() == 0, name + ": samples of repeats");
    require_keys(row, {"nodes", "shares_cores", "runs_per_sample", "rank_median_min_us",
                       "rank_median_max_us"});
  }
}

/// Of routing and planning on one process, or of the planning exchange on ranks.
void check_plan(const Json& result, int ranks) {
  require(result.at("program") == "hashep-bench", "program");
  require(result.at("ranks") == ranks, "ranks");
  require(!result.at("results").empty(), "results");
  const bool exchange = result["results"].at(0).at("name") == "exchange";
  std::map<std::string, int> rows;  // by name
  for (const Json& row : result["results"]) {
    check_row(row);
    const std::string name = row["name"];
    ++rows[name];
    require(row["wrong"] == 0, name + ": wrong");
    const int64_t count_words =
        row.at("ep_size").get<int64_t>() * row["num_experts"].get<int64_t>();
    require(row.at("count_bytes").get<int64_t>() >= 4 * count_words, name + ": count_bytes");
    if (exchange) {
      require(row["ep_size"] == ranks, name + ": ep_size");
      require_keys(row,
                   {"num_layers", "rank_median_min_us", "rank_median_max_us", "runs_per_sample"});
      // Its own words, and its share of the node's matrix at least.
      require(
          row.at("buffer_bytes").get<int64_t>() * ranks >= 2 * row["count_bytes"].get<int64_t>(),
          name + ": buffer_bytes");
      require((row["bytes_off_rank"] > 0) == (ranks > 1), name + ": bytes_off_rank");
      continue;
    }
    require(row.at("router").is_string(), name + ": router");
    require(row.at("ns_per_token") > 0.0, name + ": ns_per_token");
    const double assignments = row["tokens_per_rank"].get<double>() * row["top_k"].get<double>();
    require(row.at("plan_bytes").get<double>() >= 12.0 * assignments, name + ": plan_bytes");
    require(row.at("plan_bytes_per_assignment") >= 12.0, name + ": plan_bytes_per_assignment");
    require(row.at("planning_bytes").get<int64_t>() >
                row["plan_bytes"].get<int64_t>() + row["count_bytes"].get<int64_t>(),
            name + ": planning_bytes");
  }
  require(rows["route"] == rows["plan"] && rows["plan"] == rows["planning"], "rows of a case");
  require((rows["exchange"] > 0) == exchange && (rows["route"] > 0) == !exchange, "rows");
}

void check_trace(const Json& trace, int ranks) {
  std::map<int, int> events;  // by thread
  std::set<std::string> threads;
  for (const Json& event : trace.at("traceEvents")) {
    const int thread = event.at("tid");
    if (event.at("ph") == "M") {
      require(event.at("name") == "thread_name", "metadata");
      threads.insert(event.at("args").at("name"));
      continue;
    }
    require(event.at("ph") == "X", "ph");
    require(event.at("ts") >= 0.0 && event.at("dur") >= 0.0, "times");
    require_keys(event.at("args"), {"step", "layer"});
    ++events[thread];
  }
  require(events.size() == threads.size(), "threads with events");
  for (int rank = 0; rank < ranks; ++rank) {
    const std::string name = "rank " + std::to_string(rank);
    require(threads.erase(name) == 1, "no thread of a rank");
    require(events[rank] > 5, "a rank with hardly any events");
    threads.erase(name + ", exchange");  // where that has a stream of its own
  }
  require(threads.empty(), "named threads");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr,
                 "Usage: check_json result|trace|train|exchange|layer|scale|plan FILE RANKS\n");
    return 1;
  }
  try {
    std::ifstream file(argv[2]);
    const Json document = Json::parse(file);
    const int ranks = std::stoi(argv[3]);
    const std::map<std::string, void (*)(const Json&, int)> checks = {
        {"result", check_result},     {"trace", check_trace}, {"train", check_train},
        {"exchange", check_exchange}, {"layer", check_layer}, {"scale", check_scale},

        {"plan", check_plan}};
    checks.at(argv[1])(document, ranks);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "check_json: %s: %s\n", argv[2], error.what());
    return 1;
  }
  return 0;
}
