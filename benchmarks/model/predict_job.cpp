// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/predict_job.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/format.hpp"
#include "core/narrow.hpp"
#include "hashep/error.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep::bench {
namespace {

constexpr int64_t kMostRanks = 65536;

/// One size of job.
class JobCase {
 public:
  JobCase(const PredictOptions& options, const MachineProfile& profile, int64_t ranks,
          int64_t batch_tokens)
      : options_(options), profile_(profile) {
    shape_.batch_tokens = batch_tokens;
    shape_.ranks = narrow<int>(ranks, "ranks");
    shape_.ranks_per_node =
        options.ranks_per_node > 0 ? options.ranks_per_node : profile.ranks_per_node;
    // One rank that has fewer experts than a token needs has those that it needs.
    shape_.num_experts =
        options.experts_per_rank > 0
            ? std::max(options.experts_per_rank * ranks, ranks == 1 ? options.top_k : int64_t{1})
            : options.num_experts;
    shape_.top_k = options.top_k;
  }

  bool on_one_node() const { return shape_.ranks <= shape_.ranks_per_node; }

  std::string transport() const {
    if (shape_.ranks == 1) return "local";
    if (options_.transport != "auto") return options_.transport;
    if (!on_one_node()) return "hier";
    return profile_.overlap ? "ipc" : "shm";
  }

  Prediction blank(const std::string& scaling) const {
    Prediction prediction;
    prediction.scaling = scaling;
    prediction.ranks = shape_.ranks;
    prediction.ranks_per_node = shape_.ranks_per_node;
    prediction.transport = transport();
    prediction.num_experts = shape_.num_experts;
    prediction.batch_tokens = shape_.batch_tokens;
    return prediction;
  }

  /// By dtype.
  std::vector<LayerCost> costs(int threads) const {
    if (!on_one_node() && move_of(transport()) == Move::push) {
      throw InputError("--transport " + transport() + ": " + std::to_string(shape_.ranks) +
                       " ranks do not share a node");
    }
    const RoutedJob job(options_.routing, shape_);
    const JobFlows flows = job.count_flows(threads);
    std::vector<LayerCost> costs;
    for (const DType dtype : options_.dtypes) {
      const LayerShape layer{{options_.hidden_size, options_.ffn_size, options_.activation},
                             options_.num_shared_experts,
                             dtype,
                             *move_of(transport()),
                             options_.node_reduce};
      costs.push_back(layer_cost(flows, job.placement(), job.nodes(), profile_, layer));
    }
    return costs;
  }

 private:
  const PredictOptions& options_;
  const MachineProfile& profile_;
  JobShape shape_;
};

LayerCost divided(LayerCost cost, double by) {
  for (double* part :
       {&cost.dispatch, &cost.experts, &cost.shared_experts, &cost.combine, &cost.mean_experts}) {
    *part /= by;
  }
  return cost;
}

double micros(double seconds) {
  return std::round(seconds * 1e8) / 100.0;
}

/// Shares of the layer's time that the ideal would not need; they add up to 1 - efficiency.
nlohmann::ordered_json loss_of(const Prediction& each) {
  const double layer = each.cost.layer();
  const auto imbalance = [](const LayerCost& cost) { return cost.experts - cost.mean_experts; };
  const auto exchanged = [](const LayerCost& cost) { return cost.dispatch + cost.combine; };
  const auto computed = [](const LayerCost& cost) {
    return cost.mean_experts + cost.shared_experts;
  };
  return {{"imbalance", (imbalance(each.cost) - imbalance(each.ideal)) / layer},
          {"exchange", (exchanged(each.cost) - exchanged(each.ideal)) / layer},
          {"gemm_shape", (computed(each.cost) - computed(each.ideal)) / layer},
          {"other", 0.0}};
}

void require(bool good, const std::string& what) {
  if (!good) throw InputError(what);
}

}  // namespace

void validate(const PredictOptions& options) {
  require(!options.ranks.empty(), "scale needs --predict LIST: numbers of ranks");
  require(!options.machine.empty(), "--predict needs --machine FILE");
  for (const int64_t ranks : options.ranks) {
    require(ranks <= kMostRanks, "--predict " + std::to_string(ranks) + ": at most " +
                                     std::to_string(kMostRanks) + " ranks");
  }
  require(options.base_ranks <= kMostRanks, "--base-ranks " + std::to_string(options.base_ranks) +
                                                ": at most " + std::to_string(kMostRanks) +
                                                " ranks");
  for (const int64_t size :
       {options.hidden_size, options.ffn_size, options.num_experts, options.experts_per_rank,
        options.num_shared_experts, options.tokens_per_rank, options.ranks_per_node}) {
    require(size <= kMaxModelSize,
            "a size of " + std::to_string(size) + ": at most " + std::to_string(kMaxModelSize));
  }
  require(options.routing.workload.vocab_size <= kMaxVocabSize, "--vocab-size: ids are of 31 bits");
  workload_kind(options.routing.workload);  // refuses options that do not go together
  const bool known = options.transport == "auto" ||
                     (move_of(options.transport) && options.transport != "copy_bound" &&
                      options.transport != "alltoallv");
  require(known, "--transport " + options.transport +
                     ": the model knows auto, mpi, shm, hier, nccl and ipc");
}

std::vector<Prediction> predict(const PredictOptions& options, const MachineProfile& profile,
                                int threads) {
  const int64_t smallest = *std::min_element(options.ranks.begin(), options.ranks.end());
  const int64_t base = options.base_ranks > 0 ? options.base_ranks : smallest;
  std::vector<Prediction> predictions;
  for (const std::string scaling : {"weak", "strong"}) {
    if (options.scaling != "both" && options.scaling != scaling) continue;
    const bool weak = scaling == "weak";
    const auto tokens_of = [&](int64_t ranks) {
      return options.tokens_per_rank * (weak ? ranks : smallest);
    };
    const std::vector<LayerCost> of_base =
        JobCase(options, profile, base, tokens_of(base)).costs(threads);
    for (const int64_t ranks : options.ranks) {
      const JobCase job(options, profile, ranks, tokens_of(ranks));
      const std::vector<LayerCost> costs = job.costs(threads);
      for (size_t i = 0; i < costs.size(); ++i) {
        predictions.push_back(job.blank(scaling));
        predictions.back().dtype = options.dtypes[i];
        predictions.back().cost = costs[i];
        predictions.back().base_ranks = narrow<int>(base, "ranks");
        const double growth = static_cast<double>(ranks) / static_cast<double>(base);
        predictions.back().ideal = divided(of_base[i], weak ? 1.0 : growth);
      }
    }
  }
  return predictions;
}

nlohmann::ordered_json prediction_rows(const std::vector<Prediction>& predictions,
                                       const PredictOptions& options,
                                       const MachineProfile& profile) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const Prediction& each : predictions) {
    const nlohmann::ordered_json parts{{"dispatch", micros(each.cost.dispatch)},
                                       {"experts", micros(each.cost.experts)},
                                       {"shared_experts", micros(each.cost.shared_experts)},
                                       {"combine", micros(each.cost.combine)}};
    const auto add = [&](const std::string& of, double seconds) {
      rows.push_back({{"name", "predicted"},
                      {"of", of},
                      {"scaling", each.scaling},
                      {"machine", profile.name},
                      {"ranks", each.ranks},
                      {"ranks_per_node", each.ranks_per_node},
                      {"transport", each.transport},
                      {"dtype", dtype_name(each.dtype)},
                      {"workload", workload_name(workload_kind(options.routing.workload))},
                      {"tokens_per_rank", each.batch_tokens / each.ranks},
                      {"hidden_size", options.hidden_size},
                      {"ffn_size", options.ffn_size},
                      {"num_experts", each.num_experts},
                      {"top_k", options.top_k},
                      {"predicted_us", micros(seconds)},
                      {"low_us", micros(seconds * profile.band.low)},
                      {"high_us", micros(seconds * profile.band.high)}});
    };
    add("layer", each.cost.layer());
    rows.back()["tokens_per_s"] = static_cast<double>(each.batch_tokens) / each.cost.layer();
    rows.back()["efficiency"] = each.efficiency();
    rows.back()["base_ranks"] = each.base_ranks;
    rows.back()["loss"] = loss_of(each);
    rows.back()["parts_us"] = parts;
    add("dispatch", each.cost.dispatch);
    add("experts", each.cost.experts);
    add("combine", each.cost.combine);
  }
  return rows;
}

std::string prediction_table(const std::vector<Prediction>& predictions,
                             const MachineProfile& profile) {
  std::string table = "# machine " + profile.name + ": " + profile.description + "\n";
  if (!predictions.empty()) {
    const int base = predictions.front().base_ranks;
    table += format(
        "# efficiency: 100 %% is the time of %d rank%s, strong: divided by the growth in "
        "ranks from there\n",
        base, base == 1 ? "" : "s");
  }
  table += format("#%-7s %6s %-6s %5s %8s %9s %12s %12s %12s %12s %25s %10s\n", "scaling", "ranks",
                  "by", "dtype", "experts", "tokens", "dispatch us", "experts us", "combine us",
                  "layer us", "low - high", "efficiency");
  for (const Prediction& each : predictions) {
    const double layer = each.cost.layer();
    table += format(
        " %-7s %6d %-6s %5s %8lld %9lld %12.1f %12.1f %12.1f %12.1f %12.1f %12.1f %9.1f%%\n",
        each.scaling.c_str(), each.ranks, each.transport.c_str(),
        std::string(dtype_name(each.dtype)).c_str(), static_cast<long long>(each.num_experts),
        static_cast<long long>(each.batch_tokens / each.ranks), each.cost.dispatch * 1e6,
        each.cost.experts * 1e6, each.cost.combine * 1e6, layer * 1e6,
        layer * profile.band.low * 1e6, layer * profile.band.high * 1e6, each.efficiency() * 100.0);
  }
  return table;
}

}  // namespace hashep::bench
