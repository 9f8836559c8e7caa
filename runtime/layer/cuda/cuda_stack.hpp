// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/layer/cuda/cuda_moe_layer.hpp"
#include "runtime/layer/cuda/graph_cache.hpp"

namespace hashep {

/// How a stack computes on a GPU.
struct CudaExecOptions {
  DType dtype = DType::f32;  // of activations: f32 or bf16
  bool residual = true;      // x <- x + layer(x), else x <- layer(x)
  GemmGrouping grouping = GemmGrouping::per_expert;
  GraphMode graph = GraphMode::automatic;
  int lanes = 4;        // streams for experts' tiles
  bool overlap = true;  // dispatch on a stream of its own, where something runs beside it
  // Of cuBLAS, for each lane: what NVIDIA recommends for Hopper, and more than others need.
  int64_t workspace_bytes = int64_t{32} << 20;
  int plans = 3;      // batches that may be prepared and not done at once
  bool timed = true;  // mark the phases
  GpuPhaseTimer::Observer observer = {};
  WeightReading reading = {};
};

/// Memory of a stack on its GPU, in bytes.
struct CudaStackMemory {
  int64_t weights = 0;      // held once
  int64_t row_buffers = 0;  // of the transport
  int64_t shared_rows = 0;  // other ranks' that it reaches
  int64_t workspace = 0;    // hidden states, outputs, weights per choice
  int64_t scratch = 0;      // between the experts' GEMMs, and cuBLAS workspaces
  int64_t plans = 0;        // plan arrays
};

/// L MoE layers, one after the other, on one rank with one GPU. `prepare` sends a batch's plan
/// ahead, `run` asks for a step and returns before it is done: in it nothing is allocated, no plan
/// arithmetic is done, and nothing waits for the GPU. With a transport of several ranks `prepare`
/// and `run` are collective. Not thread-safe; the GPU is the calling thread's current one.
class CudaStack {
 public:
  /// Reads weights to the GPU. Throws InputError on bad weights, RunError where the GPU refuses.
  /// `transport`: null where there is one rank.
  CudaStack(const ModelConfig& config, const WeightSource& weights,
            std::span<const Placement> placements, int ep_rank, const CudaExecOptions& options,
            std::unique_ptr<Transport> transport = nullptr);
  ~CudaStack();
  CudaStack(const CudaStack&) = delete;  // its layers refer to its experts
  CudaStack& operator=(const CudaStack&) = delete;

  /// What every step from now on starts from: x [tokens, hidden_size] in host memory. Waits. Not
  /// while a step is prepared and not run: RunError.
  void set_input(ConstMatrixView x);

  /// Makes all ready for `run(plan.step)`: workspace, tiles, algorithms, the plan's arrays on their
  /// way to the GPU, the graph. Ahead of the step; memory grows here alone. `plan` must stay until
  /// the step has been asked for. Steps rise. At most options.plans of them are prepared and not
  /// done: RunError.
  void prepare(const BatchPlan& plan);

  /// Asks for the step. Throws RunError where it was not prepared.
  void run(int64_t step);

  /// Whether a step that was asked for is done. Never waits. Throws RunError where its exchange has
  /// failed.
  bool is_done(int64_t step) const;
  /// What a step that was asked for and is not done is at, as far as it is known. Never waits.
  Position position(int64_t step) const;

  /// The phases of a step that is done, until options.plans more are prepared.
  std::span<const PhaseSpan> phases(int64_t step);

  /// Brings the hidden states after the last step to host memory: `fetch` asks, `has_fetched` tells
  /// whether they are there, `fetched` is [tokens, hidden_size], valid until the next `fetch`.
  void fetch();
  bool has_fetched() const { return fetched_.is_done(); }
  ConstMatrixView fetched() const;

  const Transport& transport() const { return *transport_; }
  CudaStackMemory memory() const;
  int64_t graphs_captured() const { return graphs_.num_captured(); }
  /// What the experts' GEMMs run on, one line.
  std::string_view implementation() const { return implementation_; }

 private:
  /// A batch between `prepare` and the end of its step.
  struct Slot {
    Slot(DevicePlan device_plan, GpuPhaseTimer step_timer)
        : plan(std::move(device_plan)), timer(std::move(step_timer)) {}

    int64_t step = -1;
    bool is_pending = false;           // prepared and not yet run
    const BatchPlan* batch = nullptr;  // while pending
    int64_t rows = 0;                  // see covered_rows
    SharedTiles tiles;
    DevicePlan plan;
    GpuPhaseTimer timer;
    std::vector<int64_t> shape;  // what a graph of this step bakes in
    const CudaGraph* graph = nullptr;
  };

  Slot& slot_of(int64_t step);
  const Slot& slot_of(int64_t step) const;
  Slot& free_slot();
  bool reads_counts_on_gpu() const;
  int64_t covered_rows(int64_t tokens) const;
  int64_t state_rows(const Slot& slot) const;
  bool reserve(const Slot& slot);
  /// Tiles and arrays of a slot's batch; true where addresses have changed.
  bool fill(Slot& slot);
  void describe(Slot& slot) const;
  void find_graph(Slot& slot);
  void enqueue(Slot& slot);
  DeviceState state_of(const Slot& slot) const;
  LayerStreams streams() const;

  ModelConfig config_;
  CudaExecOptions options_;
  std::string implementation_;
  std::unique_ptr<Transport> transport_;
  CudaStream stream_;    // of the steps
  CudaStream exchange_;  // of dispatch, where it overlaps
  CudaStream uploads_;   // of plans
  LayerStreams::Events events_;
  // Memory grows while steps are under way, which may be waiting for ranks that are lost, and while
  // graphs hold it.
  BeforeFree before_free_;
  CublasLtHandle lt_;
  GemmLanes lanes_;
  StackExperts<DeviceExpertFfn> experts_;
  std::vector<CudaMoeLayer> layers_;
  DeviceWorkspace workspace_;
  DeviceBuffer input_;  // [covered_rows(tokens), d]
  DeviceBuffer state_;  // laid out by SharedTiles
  int64_t tokens_ = 0;  // of input_
  int64_t last_step_ = -1;
  PinnedBuffer host_state_;
  CudaEvent fetched_;
  GraphCache graphs_;
  std::vector<Slot> slots_;
};

}  // namespace hashep
