// SPDX-License-Identifier: Apache-2.0
#include "tests/support/step_loop.hpp"

#include <cstring>

#include "runtime/layer/backend_factory.hpp"
#include "runtime/layer/layer_stack.hpp"
#include "runtime/model/synthetic_weights.hpp"

namespace hashep::test {
namespace {

class RepeatingStream final : public TokenStream {
 public:
  RepeatingStream(int64_t vocab_size, int64_t period)
      : zipf_(make_zipf_stream(vocab_size, 1.0, 1)), period_(period) {}
  void read(int64_t first, std::span<int32_t> out) const override {
    for (size_t i = 0; i < out.size(); ++i) {
      zipf_->read((first + static_cast<int64_t>(i)) % period_, out.subspan(i, 1));
    }
  }
  std::optional<int64_t> size() const override { return period_; }

 private:
  std::unique_ptr<TokenStream> zipf_;
  int64_t period_;
};

}  // namespace

std::unique_ptr<TokenStream> repeating_stream(int64_t vocab_size, int64_t period) {
  return std::make_unique<RepeatingStream>(vocab_size, period);
}

void run_step_loop(const StackCase& c, const TokenStream& stream, const LoopSettings& settings,
                   const Communicator& comm, const Topology& topology, Watch& watch, int64_t steps,
                   const StepLooks& looks) {
  const CaseRouting routing = stack_routing(c, stream, {topology.nodes});
  const auto weights = make_synthetic_weights(c.config, c.dtype, 1);
  const auto transport = make_transport(settings.transport, comm, topology, watch, c.threads);
  LayerStack stack(c.config, *weights, routing.geometry.placements(), comm.rank(), c.residual,
                   {.dtype = c.dtype, .threads = c.threads, .check_finite = false}, *transport);
  PhaseLog log(&watch, 1000, true);
  StreamPlanner planner(routing.geometry, *routing.router, stream,
                        {.batch_tokens = c.batch_tokens,
                         .seq_len = c.seq_len,
                         .ep_size = comm.size(),
                         .ep_rank = comm.rank()},
                        {.planning = Planning::exchange, .depth = settings.plan_depth},
                        JobRanks{comm, topology, watch}, log);
  const std::vector<std::byte> input = stack_input(c, comm.size(), comm.rank());
  std::vector<std::byte> x = input;
  const int64_t rows = split_range(c.batch_tokens, comm.size(), comm.rank()).size();
  planner.begin();
  for (int64_t step = 0; step < steps; ++step) {
    looks.before_planning(step);
    if (step > 0 && settings.plan_depth == 0) planner.begin();
    BatchPlan& plan = planner.take();
    stack.prepare(plan);
    planner.begin_ahead(step, steps);
    std::memcpy(x.data(), input.data(), input.size());
    looks.before_run(step);
    stack.run(plan, {x.data(), c.dtype, rows, c.config.hidden_size}, log);
    looks.after_run(step);
  }
}

}  // namespace hashep::test
