// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/routed_job.hpp"

#include <mutex>

#include "core/error.hpp"
#include "core/narrow.hpp"
#include "kernels/parallel_parts.hpp"

namespace hashep::bench {
namespace {

constexpr int64_t kDefaultSeqLen = 1024;  // tokens, as in the benchmarks on ranks
constexpr int64_t kMostRows = int64_t{1} << 36;

std::unique_ptr<TokenStream> open_stream(const JobRouting& routing) {
  if (!routing.tokens.path.empty()) return open_token_file(routing.tokens);
  if (routing.workload != "uniform" && routing.workload != "zipf") {
    throw InputError("workload " + routing.workload + ": the model knows uniform, zipf and files");
  }
  return make_zipf_stream(routing.vocab_size, routing.workload == "zipf" ? 1.0 : 0.0, routing.seed);
}

}  // namespace

RoutedJob::RoutedJob(const JobRouting& routing, const JobShape& shape)
    : shape_(shape),
      stream_(open_stream(routing)),
      seq_len_(stream_->natural_seq_len().value_or(kDefaultSeqLen)) {
  if (shape.top_k < 1 || shape.top_k > shape.num_experts) {
    throw InputError("--top-k " + std::to_string(shape.top_k) + ": must be in [1, " +
                     std::to_string(shape.num_experts) + "]");
  }
  if (shape.batch_tokens > kMostRows / shape.top_k) {
    throw InputError("a batch of " + std::to_string(shape.batch_tokens) + " tokens is too large");
  }
  ModelConfig config;
  config.num_layers = 1;
  config.num_experts = shape.num_experts;
  config.top_k = narrow<int>(shape.top_k, "--top-k");
  config.vocab_size = routing.vocab_size;
  RoutingSource source;
  source.kind = routing.router;
  source.seed = routing.seed;
  source.table_path = routing.table;
  routing_.routers = make_routers(config, source, *stream_);
  routing_.nodes = nodes_of_equal_size(shape.ranks, shape.ranks_per_node);
  routing_.placements = make_placements(parse_placement(routing.placement), routing_.routers,
                                        *stream_, seq_len_, *routing_.nodes);
}

BatchSplit RoutedJob::split(int rank) const {
  return {.batch_tokens = shape_.batch_tokens,
          .seq_len = seq_len_,
          .ep_size = shape_.ranks,
          .ep_rank = rank};
}

JobFlows RoutedJob::count_flows(int threads) const {
  FlowCounter total(placement(), nodes());
  std::mutex mutex;
  parallel_parts(shape_.ranks, threads, [&](int64_t begin, int64_t end) {
    FlowCounter counter(placement(), nodes());
    std::vector<int64_t> counts(static_cast<size_t>(routing_.count_words()));
    BatchPlan plan;  // of one rank after the other
    for (int64_t rank = begin; rank < end; ++rank) {
      read_batch(*stream_, split(static_cast<int>(rank)), 0, plan.batch);
      route_batch(routing_, plan, counts);
      counter.add(static_cast<int>(rank), std::ssize(plan.batch.ids), counts);
    }
    const std::lock_guard lock(mutex);
    total.merge(counter);
  });
  return total.flows();
}

}  // namespace hashep::bench
