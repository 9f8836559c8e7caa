// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/measured_points.hpp"

#include <algorithm>
#include <optional>

#include "benchmarks/model/json_fields.hpp"
#include "core/error.hpp"
#include "core/narrow.hpp"
#include "core/result_json.hpp"
#include "core/units.hpp"

namespace hashep::bench {
namespace {

constexpr double kMicrosecond = 1e-6;

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
    ranks_ = root_.count("ranks");
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
    for (size_t i = 0; i + 1 < args_.size(); ++i) {
      if (args_[i] == name) return args_[i + 1];
    }
    return std::nullopt;
  }

  static std::optional<std::string> text_of(JsonFields& fields, std::string_view key) {
    if (!fields.has(key) || fields.at(key).is_null()) return std::nullopt;
    return fields.text(key);
  }
  static int64_t count_or(JsonFields& fields, std::string_view key, int64_t otherwise) {
    return fields.has(key) && !fields.at(key).is_null() ? fields.count(key) : otherwise;
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
                                          : median(samples.get<std::vector<double>>()));
    point.dtype = parse_dtype(fields);
    point.tokens_per_rank = fields.count("tokens_per_rank");
    point.shape.ranks = narrow<int>(count_or(fields, "ranks", ranks_), "ranks");
    point.shape.ranks_per_node = count_or(fields, "ranks_per_node", ranks_per_node_);
    point.shape.batch_tokens = point.tokens_per_rank * point.shape.ranks;
    point.shape.num_experts = fields.count("num_experts");
    point.shape.top_k = fields.count("top_k");
    point.ffn.hidden_size = fields.count("hidden_size");
    if (point.timed != TimedThing::exchange) {
      point.ffn.ffn_size = fields.count("ffn_size");
      point.ffn.activation = activation_of(arg("--activation").value_or("silu"));
    }
    if (!read_routing(fields, point.routing)) return skip(name + " of another workload");
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

  /// False where the ids cannot be made again from what the result says.
  bool read_routing(JsonFields& fields, JobRouting& routing) {
    const std::string workload = text_of(fields, "workload").value_or("uniform");
    routing.workload = workload.substr(0, workload.find(','));  // "uniform, memcpy"
    routing.vocab_size =
        count_or(fields, "vocab_size",
                 parse_count(arg("--vocab-size").value_or("32K"), file_ + ": --vocab-size"));
    const std::string router =
        text_of(fields, "router").value_or(arg("--router").value_or("token"));
    routing.tokens.path = arg("--tokens").value_or("");
    return router == "token" && routing.tokens.path.empty() &&
           (routing.workload == "uniform" || routing.workload == "zipf");
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
