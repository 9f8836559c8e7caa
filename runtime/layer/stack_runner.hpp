// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "hashep/batch_plan.hpp"
#include "hashep/tensor_view.hpp"
#include "runtime/layer/layer_states.hpp"
#include "runtime/layer/phase_log.hpp"
#include "runtime/layer/streaming_stats.hpp"

namespace hashep {

/// Memory of a stack on one rank's device, in bytes.
struct RunnerMemory {
  int64_t weights = 0;      // held once
  int64_t row_buffers = 0;  // exactly as the plans say
  int64_t shared_rows = 0;  // other ranks' row buffers that this rank uses in place
  int64_t workspace = 0;    // hidden states, layer output, shared experts, weights per choice
  int64_t scratch = 0;      // between the experts' GEMMs
  int64_t plans = 0;        // copies of plans on the device
};

/// A layer stack on one rank's device, with the hidden states it works on. Steps start from the
/// input that was set last. A device may still be at a step when `run` returns.
class StackRunner {
 public:
  virtual ~StackRunner() = default;

  /// "cpu" or "cuda", the GPU's description where it is one, and how rows move.
  virtual std::string_view device() const = 0;
  virtual std::optional<std::string> gpu() const = 0;
  virtual std::string_view transport() const = 0;
  /// What the experts' GEMMs run on, one line.
  virtual std::string_view implementation() const = 0;

  /// x: [tokens, hidden_size] in host memory, which must stay as it is. Local.
  virtual void set_input(ConstMatrixView x) = 0;
  /// This batch will be run after those that were expected before: weights that are not held are
  /// read ahead. Local.
  virtual void expect(const BatchPlan&) {}
  /// Makes all ready for `run` with these plans, which must stay until then. Ahead of the step.
  /// Collective.
  virtual void prepare(const BatchPlan& plan) = 0;
  /// One step, which plans layers with a gate. Its phases are in the log once `finish` has
  /// returned. Collective.
  virtual void run(BatchPlan& plan, PhaseLog& log) = 0;
  /// The steps to come add their input and what each layer leaves to `states`; null: no more.
  /// Where the device runs whole steps nothing is added.
  virtual void record(LayerStates* states) { static_cast<void>(states); }
  /// Waits for all steps, under the deadline.
  virtual void finish(PhaseLog& log) = 0;
  /// What the last step left, [tokens, hidden_size] in host memory, until the next call. All steps
  /// are finished.
  virtual ConstMatrixView output() = 0;

  virtual RunnerMemory memory() const = 0;
  /// What was read, where weights are read when they are needed.
  virtual std::optional<StreamingStats> streaming() const { return std::nullopt; }
};

}  // namespace hashep
