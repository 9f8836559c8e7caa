// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "hashep/training.hpp"

namespace hashep {

class Stack;

/// How AdamW updates parameters. Alike on all ranks.
struct AdamWOptions {
  float beta1 = 0.9f;          ///< of the first moments: [0, 1)
  float beta2 = 0.999f;        ///< of the second moments: [0, 1)
  float epsilon = 1e-8f;       ///< above 0
  float weight_decay = 0.01f;  ///< of matrices of more than one row; biases have none
  float clip_norm = 0.0f;      ///< the largest norm of all gradients together; 0: no limit
};

/// A parameter and its state: views, each [rows, cols] in fp32.
struct ParameterState {
  Parameter parameter;       ///< of the Stack, or the caller's
  MatrixView first_moment;   ///< running mean of its gradients
  MatrixView second_moment;  ///< running mean of their squares
};

/// AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", arXiv 1711.05101) on the
/// parameters of a Stack, and of what else the caller trains with it. States are in fp32, on the
/// rank that holds the parameter. Updates have the same bits on any number of ranks, where
/// gradients have. Used by one thread at a time, the one that may call MPI.
class AdamW {
 public:
  /// States begin at zero. `others`: parameters that all ranks hold alike (expert = -1), whose
  /// gradients the caller has made alike on all ranks before each `step`, with ReproducibleSum,
  /// say; their views must stay valid. `stack` must outlive this; it has StackOptions::training.
  /// Throws InputError on all ranks where an option is out of its range, where ranks disagree, or
  /// where the stack is not trained. Collective.
  explicit AdamW(Stack& stack, AdamWOptions options = {}, std::vector<Parameter> others = {});
  ~AdamW();  ///< local
  /// The other one is then of no use. Local.
  AdamW(AdamW&& other) noexcept;
  AdamW& operator=(AdamW&&) = delete;

  /// Sums gradients of what all ranks hold in the stack (Stack::sum_gradients), scales all
  /// gradients where their norm is above clip_norm, updates all parameters (gates' biases by
  /// TrainingOptions::bias_step), packs the stack's, and sets all gradients to zero. Returns the
  /// norm before it was clipped, in which each expert is counted once: the same on all ranks. Where
  /// the norm is not finite nothing is updated, and gradients are dropped. Collective. Throws
  /// InputError where the rate is negative or not finite, on this rank alone; RunError where a rank
  /// does not come in time.
  double step(float learning_rate);

  /// Updates made so far: t of the paper. Local.
  int64_t steps() const;
  /// Goes on from a checkpoint, whose states the caller has put into `states`. Local.
  void set_steps(int64_t steps);

  /// All parameters of this rank and their states: the stack's, then `others`. Local.
  std::vector<ParameterState> states();

  /// Bytes of the states on this rank. Local.
  int64_t bytes() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hashep
