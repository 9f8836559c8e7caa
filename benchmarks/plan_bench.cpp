// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/plan_bench.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "benchmarks/plan_case.hpp"
#include "core/format.hpp"
#include "core/narrow.hpp"
#include "hashep/error.hpp"
#include "runtime/layer/planning_options.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep::bench {
namespace {

constexpr int64_t kMaxCounts = int64_t{1} << 27;  // gathered for a layer, or for all: 1 GiB

void require_at_most(const char* option, int64_t value, int64_t most) {
  if (value > most) {
    throw InputError(std::string(option) + " " + std::to_string(value) + ": must be at most " +
                     std::to_string(most));
  }
}

int64_t largest(const std::vector<int64_t>& values) {
  return *std::max_element(values.begin(), values.end());
}

/// The rows of one case.
void measure_case(const PlanCaseOptions& options, const Sampling& sampling,
                  nlohmann::ordered_json& results) {
  PlanCase planned(options);
  const int64_t wrong = planned.wrong();
  if (wrong != 0) {
    throw RunError(options.router + ": " + std::to_string(wrong) + " numbers of a plan are wrong");
  }
  const auto nothing = [] {};
  const std::array<Timed, 3> things = {
      {{nothing, [&] { planned.route(); }}, {nothing, [&] { planned.plan(); }}, {nothing, [&] {
                                                                                   planned.route();
                                                                                   planned.plan();
                                                                                 }}}};
  const auto samples = time_in_turn(sampling, things);
  const std::array names = {"route", "plan", "planning"};
  for (size_t i = 0; i < names.size(); ++i) {
    MeasuredRow row;
    row.name = names[i];
    row.device = "cpu";
    row.workload = "zipf";
    row.tokens_per_rank = options.tokens;
    row.num_experts = options.num_experts;
    row.top_k = options.top_k;
    row.samples_us = samples[i];
    row.wrong = wrong;
    const double ns = median(row.samples_us) * 1e3 / static_cast<double>(options.tokens);
    const double bytes_per_assignment =
        static_cast<double>(planned.bytes()) / static_cast<double>(planned.assignments());
    nlohmann::ordered_json json = row_json(row);
    json["router"] = options.router;
    json["ep_size"] = options.ep_size;
    json["ns_per_token"] = ns;
    json["plan_bytes"] = planned.bytes();
    json["plan_bytes_per_assignment"] = bytes_per_assignment;
    json["count_bytes"] = planned.count_bytes();
    json["planning_bytes"] = planned.bytes() + planning_buffer_bytes(planned.batch_words(),
                                                                     options.ep_size, {.depth = 0});
    results.push_back(std::move(json));

    const std::string note = format("%6.2f ns/token %6.2f ns/choice %6.2f B/assignment", ns,
                                    ns / options.top_k, bytes_per_assignment);
    row.workload = options.router + " k " + std::to_string(options.top_k) + " E " +
                   std::to_string(options.num_experts) + " R " + std::to_string(options.ep_size);
    print_row(row, note);
  }
}

}  // namespace

void validate(const PlanOptions& options) {
  const int64_t experts = largest(options.num_experts);
  require_at_most("--num-experts", experts, kMaxModelSize);
  require_at_most("--vocab-size", options.vocab_size, kMaxVocabSize);
  require_at_most("--ep-size", largest(options.ep_sizes), kMaxCounts / experts);
  require_at_most("--num-layers", largest(options.num_layers), kMaxCounts / experts);
  require_at_most("--top-k", largest(options.top_k),
                  *std::min_element(options.num_experts.begin(), options.num_experts.end()));
  if (!std::isfinite(options.deadline) || options.deadline <= 0.0) {
    throw InputError("--deadline: must be a positive number of seconds");
  }
  for (const std::string& router : options.routers) parse_router(router);
}

nlohmann::ordered_json measure_plan(const PlanOptions& options) {
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const int64_t ep_size : options.ep_sizes) {
    for (const int64_t num_experts : options.num_experts) {
      for (const std::string& router : options.routers) {
        for (const int64_t top_k : options.top_k) {
          measure_case({.router = router,
                        .top_k = narrow<int>(top_k, "--top-k"),
                        .tokens = options.tokens,
                        .num_experts = num_experts,
                        .vocab_size = options.vocab_size,
                        .ep_size = narrow<int>(ep_size, "--ep-size")},
                       options.sampling, results);
        }
      }
    }
  }
  return results;
}

}  // namespace hashep::bench
