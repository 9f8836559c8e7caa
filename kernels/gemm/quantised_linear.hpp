// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "hashep/buffer.hpp"
#include "hashep/quantised_view.hpp"
#include "kernels/gemm/eltwise_onednn.hpp"
#include "kernels/gemm/gemm_maker.hpp"
#include "kernels/gemm/packed_linear.hpp"
#include "kernels/quantised/code_panels.hpp"
#include "kernels/quantised/expand_codes.hpp"
#include "kernels/quantised/few_rows.hpp"

namespace hashep {

/// Codes and bias as QuantisedLinear reads them.
class QuantisedWeights final : public PackedWeights {
 public:
  int64_t bytes() const override { return memory.capacity() + bias.capacity(); }

  Buffer memory;      // of panels
  Buffer bias;        // [outputs], f32, where there is one
  CodePanels panels;  // in memory
  bool has_bias = false;
};

/// GEMMs on weights that stay quantised. They are expanded panel by panel, as many outputs as stay
/// in L2, in the layout of the library that multiplies them; or, for a few rows, in registers. Bits
/// are those of the library's GEMMs on weights that were expanded and rounded first: the product in
/// registers is taken where it was seen to give them (make_ready compares, as libraries have
/// instructions and orders of their own).
///
/// Cost on AVX-512: some 3 cycles for 32 weights, so that a few rows take the time that codes take
/// from memory, and 64 rows and more that of the GEMM.
class QuantisedLinear {
 public:
  /// What it computes, spec.transposed aside. precision: f32 or bf16, to which weights are rounded.
  QuantisedLinear(const GemmMaker& maker, const LinearSpec& spec, DType precision, int threads);

  /// Throws InputError where can_stay_packed is false.
  std::unique_ptr<PackedWeights> pack(const QuantisedView& weights, ConstMatrixView bias) const;
  /// The same into what `pack` has made.
  void repack(const QuantisedView& weights, ConstMatrixView bias, PackedWeights& packed) const;

  /// Makes the GEMM of this many rows, which PackedLinear has with the same spec, for all threads.
  void make_ready(int64_t rows);
  /// See PackedLinear.
  int64_t scratch_bytes(int64_t rows) const;
  void run(int thread, const PackedLinear::Call& call);

  /// Whether GEMMs of so many rows, which were made ready, expand weights in registers.
  bool is_in_registers(int64_t rows) const {
    return rows <= kMostFewRows && part_inputs_[rows] > 0;
  }

  /// Bytes of expanded panels, of all threads.
  int64_t panel_bytes() const;

 private:
  /// GEMMs on panels of one width.
  struct Panels {
    int64_t outputs = 0;
    std::unique_ptr<PackedLinear> gemm;
    std::optional<OperandLayout> layout;
    std::vector<std::unique_ptr<PackedWeights>> expanded;  // by thread
    std::vector<Buffer> rows;                              // the same, where no layout is known
    std::vector<Buffer> scratch;
  };

  void make_panels(int64_t outputs);
  Panels& panels_at(int64_t first);
  void expand(int thread, const QuantisedWeights& weights, int64_t first);
  void run_few(int thread, const QuantisedWeights& weights, int64_t part_inputs,
               const PackedLinear::Call& call) const;
  void run_panels(int thread, const QuantisedWeights& weights, const PackedLinear::Call& call);
  int64_t part_inputs_of(int64_t rows);

  const GemmMaker maker_;
  LinearSpec spec_;
  DType precision_;
  int threads_;
  int64_t panel_outputs_ = 0;
  std::vector<Panels> widths_;  // one or two
  OneDnnEltwise post_ops_;      // of few rows
  // Inputs whose products the library adds before it adds sums: 0: not known, so not in registers.
  std::array<int64_t, kMostFewRows + 1> part_inputs_{};
};

}  // namespace hashep
