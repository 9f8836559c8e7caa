// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/plan_bench.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "comm/plan/exchange_plan.hpp"
#include "comm/plan/plan_stats.hpp"
#include "core/error.hpp"
#include "core/narrow.hpp"
#include "runtime/routing/hash_router.hpp"
#include "runtime/routing/table_router.hpp"
#include "runtime/routing/token_stream.hpp"

namespace hashep::bench {
namespace {

constexpr uint64_t kSeed = 1;

std::unique_ptr<Router> make_router(const PlanOptions& options, const std::string& name,
                                    int top_k) {
  if (name == "table") {
    return std::make_unique<TableRouter>(
        build_random_table(options.vocab_size, options.num_experts, top_k, kSeed),
        options.num_experts);
  }
  const std::array<std::pair<const char*, HashFeature>, 4> features = {
      {{"token", HashFeature::token},
       {"position", HashFeature::position},
       {"previous", HashFeature::previous},
       {"bigram", HashFeature::bigram}}};
  for (const auto& [known, feature] : features) {
    if (name == known) {
      return std::make_unique<HashRouter>(HashRouterConfig{.feature = feature,
                                                           .seed = kSeed,
                                                           .num_experts = options.num_experts,
                                                           .top_k = top_k,
                                                           .vocab_size = options.vocab_size});
    }
  }
  throw InputError("--router " + name + ": known are table, token, position, previous, bigram");
}

/// Assignments whose row is not where the order (owner, expert, token) puts it.
int64_t wrong_rows(const ExchangePlan& plan, const Placement& placement) {
  std::vector<int64_t> assignment_of(static_cast<size_t>(plan.total_send()), -1);
  for (size_t a = 0; a < plan.experts.size(); ++a) {
    assignment_of[static_cast<size_t>(plan.send_rows[a])] = static_cast<int64_t>(a);
  }
  const auto key = [&](int64_t assignment) {
    const int32_t expert = plan.experts[static_cast<size_t>(assignment)];
    return std::tuple(placement.rank_of(expert), expert, assignment);
  };
  int64_t wrong = std::count(assignment_of.begin(), assignment_of.end(), -1);
  if (wrong > 0) return wrong;
  for (size_t row = 1; row < assignment_of.size(); ++row) {
    wrong += key(assignment_of[row - 1]) < key(assignment_of[row]) ? 0 : 1;
  }
  return wrong;
}

/// One router's planning, ready to be timed.
class Planner {
 public:
  Planner(const PlanOptions& options, const std::string& router, int top_k)
      : router_(make_router(options, router, top_k)),
        placement_(
            contiguous_placement(options.num_experts, narrow<int>(options.ep_size, "--ep-size"))),
        counts_(static_cast<size_t>(options.ep_size * options.num_experts)) {
    read_batch(*make_zipf_stream(options.vocab_size, 1.0, kSeed),
               {.batch_tokens = options.tokens, .seq_len = 4096}, 0, batch_);
    plan_.top_k = top_k;
    plan_.experts.resize(batch_.ids.size() * static_cast<size_t>(top_k));
    route();
    plan();
  }

  void route() { router_->route(batch_, plan_.experts); }

  /// The other ranks' counts are given; this rank's, row 0, are counted anew.
  void plan() {
    const auto own = std::span(counts_).first(static_cast<size_t>(placement_.num_experts()));
    count_assignments(plan_.experts, own);
    complete_plan({counts_, placement_.num_experts()}, placement_, 0, plan_);
  }

  int64_t wrong() const { return wrong_rows(plan_, placement_); }
  double bytes_per_assignment() const {
    return static_cast<double>(plan_bytes(plan_)) / static_cast<double>(plan_.experts.size());
  }

 private:
  std::unique_ptr<Router> router_;
  Placement placement_;
  std::vector<int64_t> counts_;
  TokenBatch batch_;
  ExchangePlan plan_;
};

}  // namespace

nlohmann::ordered_json measure_plan(const PlanOptions& options) {
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const std::string& router : options.routers) {
    for (const int64_t top_k : options.top_k) {
      Planner planner(options, router, narrow<int>(top_k, "--top-k"));
      const int64_t wrong = planner.wrong();
      if (wrong != 0) throw RunError(router + ": " + std::to_string(wrong) + " rows are misplaced");
      const auto nothing = [] {};
      const std::array<Timed, 3> things = {{{nothing, [&] { planner.route(); }},
                                            {nothing, [&] { planner.plan(); }},
                                            {nothing, [&] {
                                               planner.route();
                                               planner.plan();
                                             }}}};
      const auto samples = time_in_turn(options.sampling, things);
      const std::array names = {"route", "plan", "planning"};
      for (size_t i = 0; i < names.size(); ++i) {
        MeasuredRow row;
        row.name = names[i];
        row.device = "cpu";
        row.workload = router + " top " + std::to_string(top_k) + ", zipf ids";
        row.tokens_per_rank = options.tokens;
        row.num_experts = options.num_experts;
        row.top_k = top_k;
        row.samples_us = samples[i];
        row.wrong = wrong;
        const double ns = median(row.samples_us) * 1e3 / static_cast<double>(options.tokens);
        char note[96];
        std::snprintf(note, sizeof note, "%6.2f ns/token %6.2f ns/choice %6.2f B/assignment", ns,
                      ns / static_cast<double>(top_k), planner.bytes_per_assignment());
        print_row(row, note);
        nlohmann::ordered_json json = row_json(row);
        json["ns_per_token"] = ns;
        json["plan_bytes_per_assignment"] = planner.bytes_per_assignment();
        results.push_back(std::move(json));
      }
    }
  }
  return results;
}

}  // namespace hashep::bench
