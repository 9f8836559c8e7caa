// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/routed_job.hpp"

#include <mutex>

#include "hashep/error.hpp"
#include "kernels/parallel_parts.hpp"

namespace hashep::bench {
namespace {

constexpr int64_t kMostRows = int64_t{1} << 36;

MadeWorkload make_routed(const JobRouting& routing, const JobShape& shape) {
  if (shape.top_k < 1 || shape.top_k > shape.num_experts) {
    throw InputError("--top-k " + std::to_string(shape.top_k) + ": must be in [1, " +
                     std::to_string(shape.num_experts) + "]");
  }
  if (shape.batch_tokens > kMostRows / shape.top_k) {
    throw InputError("a batch of " + std::to_string(shape.batch_tokens) + " tokens is too large");
  }
  WorkloadOptions workload = routing.workload;
  workload.num_experts = shape.num_experts;
  workload.top_k = shape.top_k;
  if (is_dealt(workload_kind(workload)) && shape.batch_tokens % shape.ranks != 0) {
    throw InputError("--workload " + workload.name + ": a batch of " +
                     std::to_string(shape.batch_tokens) + " tokens is not as many for each of " +
                     std::to_string(shape.ranks) + " ranks");
  }
  MadeWorkload made =
      make_workload(workload, nodes_of_equal_size(shape.ranks, shape.ranks_per_node),
                    shape.batch_tokens / shape.ranks);
  place_experts(made, routing.placement);
  return made;
}

}  // namespace

RoutedJob::RoutedJob(const JobRouting& routing, const JobShape& shape)
    : shape_(shape), made_(make_routed(routing, shape)) {}

BatchSplit RoutedJob::split(int rank) const {
  return {.batch_tokens = shape_.batch_tokens,
          .seq_len = made_.seq_len,
          .ep_size = shape_.ranks,
          .ep_rank = rank};
}

JobFlows RoutedJob::count_flows(int threads) const {
  FlowCounter total(placement(), nodes());
  std::mutex mutex;
  parallel_parts(shape_.ranks, threads, [&](int64_t begin, int64_t end) {
    FlowCounter counter(placement(), nodes());
    std::vector<CountWord> counts(static_cast<size_t>(routing().count_words()));
    BatchPlan plan;  // of one rank after the other
    for (int64_t rank = begin; rank < end; ++rank) {
      read_batch(stream(), split(static_cast<int>(rank)), 0, plan.batch);
      route_batch(routing(), plan, counts);
      counter.add(static_cast<int>(rank), std::ssize(plan.batch.ids), counts);
    }
    const std::lock_guard lock(mutex);
    total.merge(counter);
  });
  return total.flows();
}

}  // namespace hashep::bench
