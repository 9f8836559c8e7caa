// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <dnnl.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hashep/buffer.hpp"
#include "hashep/tensor_view.hpp"
#include "kernels/quantised/operand_layout.hpp"

namespace hashep {

/// An element-wise function of fp32 sums, in oneDNN's words.
struct PostOp {
  dnnl::algorithm algorithm;
  float alpha = 0.0f;
  float beta = 0.0f;
};

/// y = post_ops(x W^T + bias), x: [rows, inputs], W: [outputs, inputs], y: [rows, outputs].
struct LinearSpec {
  int64_t inputs = 0;
  int64_t outputs = 0;
  DType operand = DType::f32;  // of x and W: f32 or bf16; the bias is f32
  DType result = DType::f32;   // of y
  std::vector<PostOp> post_ops = {};
  bool transposed = false;  // weights come as [inputs, outputs]
};

/// Weights and bias as the PackedLinear that packed them reads them.
class PackedWeights {
 public:
  virtual ~PackedWeights() = default;
  virtual int64_t bytes() const = 0;
};

/// GEMMs of one shape for any number of rows up to kMostTileRows, all reading the weights in one
/// packed layout. The interface to a library of GEMMs: everything that runs on rows is by one
/// thread, `thread` of the number it was made for, and several may run at once.
class PackedLinear {
 public:
  /// The rows of one GEMM. x: [rows, inputs], y: [rows, outputs], dense; must not overlap.
  struct Call {
    const PackedWeights& weights;
    int64_t rows = 0;
    const std::byte* x = nullptr;
    std::byte* y = nullptr;
    std::byte* scratch = nullptr;  // scratch_bytes(rows), aligned to a cache line
  };

  virtual ~PackedLinear() = default;

  /// Rounds weights [outputs, inputs] (or as the spec says) of any float type and alignment to
  /// `precision` (f32 or bf16) and packs them, and the bias [1, outputs]; one of no rows is zeros.
  std::unique_ptr<PackedWeights> pack(ConstMatrixView weights, ConstMatrixView bias,
                                      DType precision) const {
    auto packed = make_weights();
    Buffer scratch;
    repack(weights, bias, precision, *packed, scratch);
    return packed;
  }
  /// The same into what `pack` has made. `scratch` grows to what it takes.
  virtual void repack(ConstMatrixView weights, ConstMatrixView bias, DType precision,
                      PackedWeights& packed, Buffer& scratch) const = 0;

  /// Room for packed weights, all 0, for who fills it himself: see operand_layout.
  virtual std::unique_ptr<PackedWeights> make_weights() const = 0;
  /// How weights stand in it, and where the first one does; nothing where only `repack` knows.
  virtual std::optional<OperandLayout> operand_layout() const = 0;
  virtual std::byte* operands(PackedWeights& packed) const = 0;
  /// The bias [1, outputs]; one of no rows is zeros.
  virtual void set_bias(ConstMatrixView bias, PackedWeights& packed) const = 0;

  /// Makes the GEMM of this many rows, for all threads. False where there is none as good for these
  /// rows in the packed layout: then the caller fills up to kMostTileRows, which always works.
  virtual bool make_ready(int64_t rows) = 0;

  /// Of a GEMM that was made ready.
  virtual int64_t scratch_bytes(int64_t rows) const = 0;

  /// Runs a GEMM that was made ready. Allocates nothing of its own.
  virtual void run(int thread, const Call& call) const = 0;

  /// Whether an output's bits do not depend on which others are computed with it.
  virtual bool has_outputs_apart() const = 0;

  /// The library, its version and what it picked for the largest tiles, for people.
  virtual const std::string& implementation() const = 0;
};

}  // namespace hashep
