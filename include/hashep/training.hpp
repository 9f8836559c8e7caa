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

  /// Whether two are the same.
  bool operator==(const TrainingOptions&) const = default;
};

/// A matrix that is trained, in fp32 in host memory, with its gradient. Views are of the memory
/// that its Stack holds, and valid as long as that.
struct Parameter {
  std::string name;     ///< "w1", "w2", "w3", "bias1", "bias2", "bias3" (FfnWeights), "gate"
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

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace hashep
