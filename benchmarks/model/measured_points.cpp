// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/measured_points.hpp"

#include <algorithm>
#include <optional>

#include "benchmarks/model/json_fields.hpp"
#include "core/units.hpp"
#include "hashep/error.hpp"
#include "launch/process/result_json.hpp"

namespace hashep::bench {
namespace {

constexpr double kMicrosecond = 1e-6;

// Of benchmarks/sim, whose first results do not name it (sim_options.hpp).
constexpr int64_t kSimVocabSize = 129280;

// What is measured is far below these, which fit into some GiB.
constexpr int64_t kMostRanks = int64_t{1} << 20;
constexpr int64_t kMostExperts = int64_t{1} << 24;
constexpr int64_t kMostIds = int64_t{1} << 26;
constexpr int64_t kMostChoices = int64_t{1} << 30;  // of a batch

/// The rows of one file.
class Reader {
 public:
  Reader(const nlohmann::json& document, const std::string& file, int64_t ranks_per_node,
         int64_t holdout, Measurements& into)
      : root_(document, file),
        file_(file),
        ranks_per_node_(ranks_per_node),
        holdout_(holdout),
        into_(into) {
    for (const nlohmann::json& arg : root_.array("args")) {
      if (!arg.is_string()) root_.fail("args", "must be a list of texts");
      args_.push_back(arg.get<std::string>());
    }
    command_ = args_.empty() ? "" : args_.front();
    by_simulator_ = root_.has("program") && root_.text("program") == "hashep-sim";
    ranks_ = root_.count("ranks", kMostRanks);
  }

  void read() {
    const nlohmann::json& results = root_.array("results");
    for (size_t row = 0; row < results.size(); ++row) {
      JsonFields fields(results[row], file_ + ": row " + std::to_string(row));
      read_row(fields);
    }
  }

 private:
  std::optional<std::string> arg(std::string_view name) const {
    for (size_t i = 0; i < args_.size(); ++i) {
      if (args_[i] == name && i + 1 < args_.size()) return args_[i + 1];
      if (args_[i].starts_with(std::string(name) + "=")) return args_[i].substr(name.size() + 1);
    }
    return std::nullopt;
  }
  int64_t count_arg(std::string_view name, int64_t otherwise) const {
    const std::optional<std::string> text = arg(name);
    return text ? parse_count(*text, file_ + ": " + std::string(name)) : otherwise;
  }

  static std::optional<std::string> text_of(JsonFields& fields, std::string_view key) {
    if (!fields.has(key) || fields.at(key).is_null()) return std::nullopt;
    return fields.text(key);
  }
  static std::vector<double> numbers_of(JsonFields& fields, std::string_view key) {
    std::vector<double> numbers;
    for (const nlohmann::json& value : fields.array(key)) {
      if (!value.is_number()) fields.fail(key, "must be a list of numbers");
      numbers.push_back(value.get<double>());
    }
    return numbers;
  }
  static int64_t count_or(JsonFields& fields, std::string_view key, int64_t otherwise,
                          int64_t most) {
    return fields.has(key) && !fields.at(key).is_null() ? fields.count(key, most) : otherwise;
  }

  void read_row(JsonFields& fields) {
    const std::string name = fields.text("name");
    const std::optional<std::string> transport = text_of(fields, "transport");
    const bool timed = fields.has("median_us") && !fields.at("median_us").is_null();
    const auto samples = fields.has("samples_us") ? fields.array("samples_us") : nlohmann::json();
    if (!timed && samples.empty()) return skip(name);
    if (command_ == "experts" && name == "experts") return read_gemm(fields);

    MeasuredPoint point;
    point.simulated = fields.flag("simulated", false);
    if (!describe(name, transport, text_of(fields, "direction"), point)) return skip(name);
    point.file = file_;
    point.seconds = kMicrosecond * (timed ? fields.positive("median_us")
                                          : median(numbers_of(fields, "samples_us")));
    point.dtype = parse_dtype(fields);
    point.tokens_per_rank = fields.count("tokens_per_rank");
    point.shape.ranks = static_cast<int>(count_or(fields, "ranks", ranks_, kMostRanks));
    point.shape.ranks_per_node = count_or(fields, "ranks_per_node", ranks_per_node_, kMostRanks);
    point.shape.batch_tokens = point.tokens_per_rank * point.shape.ranks;
    point.shape.num_experts = fields.count("num_experts", kMostExperts);
    point.shape.top_k = fields.count("top_k", point.shape.num_experts);
    if (point.tokens_per_rank > kMostChoices / point.shape.top_k / point.shape.ranks) {
      fields.fail("tokens_per_rank",
                  "times ranks and top_k must be at most " + std::to_string(kMostChoices));
    }
    point.ffn.hidden_size = fields.count("hidden_size");
    if (point.timed != TimedThing::exchange) {
      point.ffn.ffn_size = fields.count("ffn_size");
      point.ffn.activation = activation_of(arg("--activation").value_or("silu"));
    }
    if (!read_routing(fields, point.routing)) return skip(name + " of another workload");
    if (command_ == "layer" && !is_predicted(fields, point))
      return skip(name + " of another kind of layer");
    point.held_out = is_held_out(point);
    into_.points.push_back(std::move(point));
  }

  /// Whether the model knows what the row times.
  bool describe(const std::string& name, const std::optional<std::string>& transport,
                const std::optional<std::string>& direction, MeasuredPoint& point) const {
    const bool in_layer = command_ == "layer";
    const auto move = move_of(transport.value_or(name));
    if (!move) return false;
    point.move = *move;
    const std::string prefix = transport ? *transport + " " : "";
    if (name == "layer" || name == "experts") {
      point.timed = name == "layer" ? TimedThing::layer : TimedThing::experts;
      point.label = name == "layer" ? prefix + name : name;
      return in_layer || point.simulated;
    }
    // Within a layer combine begins by waiting for the experts of the slowest rank.
    if (in_layer && name != "dispatch") return false;
    const std::string way = direction.value_or(name);
    if (way == "combine") point.direction = Direction::combine;
    point.label = transport ? prefix + way : name == "copy_bound" ? name : name + " " + way;
    if (in_layer) point.label += " in a layer";
    return name == "dispatch" || name == "combine" || !transport;
  }

  DType parse_dtype(JsonFields& fields) {
    const std::string name = fields.text("dtype");
    for (const DType dtype : {DType::f32, DType::bf16}) {
      if (name == dtype_name(dtype)) return dtype;
    }
    fields.fail("dtype", "must be fp32 or bf16");
  }

  Activation activation_of(const std::string& name) const {
    return name == "relu" ? Activation::relu : name == "gelu" ? Activation::gelu : Activation::silu;
  }

  /// False where the ids, or their routing, are of files, which need not be at hand, or unknown.
  bool read_routing(JsonFields& fields, JobRouting& routing) {
    WorkloadOptions& workload = routing.workload;
    const std::string name = text_of(fields, "workload").value_or("uniform");
    workload.name = name.substr(0, name.find(','));  // "uniform, memcpy"
    if (arg("--tokens") || arg("--table")) return false;
    const std::optional<WorkloadKind> kind = find_workload(workload.name);
    if (!kind || *kind == WorkloadKind::text) return false;
    if (!has_rules(*kind)) {
      workload.router = text_of(fields, "router").value_or(arg("--router").value_or("token"));
      if (workload.router == "table") return false;
    }
    workload.vocab_size = count_or(
        fields, "vocab_size",
        by_simulator_ ? kSimVocabSize : count_arg("--vocab-size", workload.vocab_size), kMostIds);
    if (workload.vocab_size < 1 || workload.vocab_size > kMostIds) {
      root_.fail("args", "--vocab-size must be from 1 to " + std::to_string(kMostIds));
    }
    workload.seed = count_arg("--seed", workload.seed);
    routing.placement = arg("--placement").value_or(routing.placement);
    return true;
  }

  /// Whether the model knows such a layer: one, planned ahead, without shared experts, whose
  /// batches are all as large as the first.
  bool is_predicted(JsonFields& fields, const MeasuredPoint& point) {
    return text_of(fields, "planning").value_or("ahead") == "ahead" &&
           count_or(fields, "num_layers", 1, kMostRanks) == 1 &&
           arg("--num-shared-experts").value_or("0") == "0" &&
           find_workload(point.routing.workload.name) != WorkloadKind::burst;
  }

  bool is_held_out(const MeasuredPoint& point) {
    if (command_ == "layer" || point.simulated) return true;
    if (holdout_ == 0) return false;
    const std::string size =
        std::string(dtype_name(point.dtype)) + " " + std::to_string(point.tokens_per_rank) + " " +
        std::to_string(point.shape.num_experts) + " " + std::to_string(point.shape.top_k);
    const auto found = std::find(sizes_.begin(), sizes_.end(), size);
    const auto index = found - sizes_.begin();
    if (found == sizes_.end()) sizes_.push_back(size);
    return index % holdout_ == holdout_ - 1;
  }

  void read_gemm(JsonFields& fields) {
    const std::string workload = fields.text("workload");  // "relu, 16 rows per expert"
    const auto number = [](int64_t count) { return static_cast<double>(count); };
    const double tokens = number(fields.count("tokens_per_rank"));
    const double gemms = workload.starts_with("silu") ? 3.0 : 2.0;
    const double flops = 2.0 * gemms * tokens * number(fields.count("hidden_size")) *
                         number(fields.count("ffn_size"));
    into_.gemms.push_back({parse_dtype(fields), tokens / number(fields.count("num_experts")),
                           flops / (kMicrosecond * fields.positive("median_us"))});
  }

  void skip(const std::string& name) { ++into_.skipped[name]; }

  JsonFields root_;
  std::string file_;
  int64_t ranks_per_node_;
  int64_t holdout_;
  Measurements& into_;
  std::vector<std::string> args_;
  std::string command_;
  bool by_simulator_ = false;
  int64_t ranks_ = 1;
  std::vector<std::string> sizes_;  // seen so far
};

}  // namespace

void add_measurements(const nlohmann::json& document, const std::string& file,
                      int64_t ranks_per_node, int64_t holdout, Measurements& measurements) {
  Reader(document, file, ranks_per_node, holdout, measurements).read();
}

std::map<std::string, std::vector<GemmSpeed>> gemm_speeds(const std::vector<MeasuredGemm>& gemms) {
  std::map<std::pair<std::string, double>, std::vector<double>> samples;
  for (const MeasuredGemm& gemm : gemms) {
    samples[{std::string(dtype_name(gemm.dtype)), gemm.rows}].push_back(gemm.flops_per_s);
  }
  std::map<std::string, std::vector<GemmSpeed>> speeds;
  for (const auto& [key, values] : samples)
    speeds[key.first].push_back({key.second, median(values)});
  return speeds;
}

}  // namespace hashep::bench
