// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "hashep/tensor_view.hpp"

namespace hashep {

/// How a Stack is trained. Alike on all ranks.
struct TrainingOptions {
  /// Computes pre-activations again in backward instead of keeping them: a smaller tape, a sixth
  /// more products, the same bits.
  bool recompute = false;

  /// Tokens whose gradients of what all ranks hold (gates, shared experts) are made together,
  /// before they are summed exactly: part of the result's bits. Blocks begin at multiples of it in
  /// the global batch, and ranks' parts of a batch have to begin there too, where a stack has gates
  /// or shared experts. At least 1; large ones cost less.
  int64_t gradient_block = 256;

  // Of stacks with a StackShape::gate. Batches add the gradients of these losses to those of the
  // caller's.

  float balance_loss = 0.0f;  ///< factor of GateLosses::balance, at least 0; 0: none
  float z_loss = 0.0f;        ///< the same of GateLosses::z
  /// With GateKind::noaux_tc: AdamW::step moves an expert's bias up by this where it had fewer
  /// assignments than the mean since the last step, down where it had more (DeepSeek-V3, section
  /// 2.1.2). At least 0.
  float bias_step = 0.0f;

  /// Whether two are the same.
  bool operator==(const TrainingOptions&) const = default;
};

/// A matrix that is trained, in fp32 in host memory, with its gradient. Views are of the memory
/// that its Stack holds, and valid as long as that.
struct Parameter {
  std::string name;     ///< "w1", "w2", "w3", "bias1", "bias2", "bias3" (FfnWeights), "gate",
                        ///< "gate_bias" (noaux_tc, [1, num_experts], of gradient 0)
  int64_t layer = 0;    ///< [0, num_layers)
  int64_t expert = 0;   ///< of all experts, its owner being this rank; -1: all ranks hold it alike
  MatrixView value;     ///< [rows, cols]
  MatrixView gradient;  ///< the same shape
};

/// What a forward of a batch keeps for its backward. Made empty; its memory is taken by forward,
/// exactly as much as the batch's plan says (Stack::tape_bytes), and used again by the next one.
class Tape {
 public:
  Tape();   ///< holds nothing
  ~Tape();  ///< local
  /// The other one is then of no use.
  Tape(Tape&& other) noexcept;
  /// The same; what this one held is dropped.
  Tape& operator=(Tape&& other) noexcept;

  /// Bytes that it holds. Local.
  int64_t bytes() const;

  /// Private to the library.
  class Impl;
  /// Private to the library.
  Impl& impl() { return *impl_; }
  /// Private to the library.
  const Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace hashep
