// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "hashep/tensor_view.hpp"

namespace hashep {

class Context;

/// Sums fp32 matrices over any number of addends and over all ranks, to the same bits in whatever
/// order they are added and on whichever rank: for gradients of what all ranks hold, such as gates,
/// shared experts, and any dense layer of the caller's.
///
/// Sums are exact integers in fixed point, so that their order does not matter. In a row of which M
/// is the largest magnitude of all addends, an element of a sum of n addends is off by less than
/// n * 2^-32 * M before it is rounded to fp32, once; docs/reproducible-sums.md has the definition
/// and the proof. A row that has an addend which is infinite or no number becomes NaN as a whole.
///
/// Used by one thread at a time, the one that may call MPI.
class ReproducibleSum {
 public:
  /// Of matrices [rows, cols], without addends so far. It takes 16 bytes an element. Collective:
  /// throws InputError on all ranks where sizes are negative or ranks disagree.
  ReproducibleSum(const Context& context, int64_t rows, int64_t cols);
  /// Local.
  ~ReproducibleSum();
  /// The other one is then of no use. Local.
  ReproducibleSum(ReproducibleSum&& other) noexcept;
  /// The same; what this one had is dropped. Local.
  ReproducibleSum& operator=(ReproducibleSum&& other) noexcept;

  int64_t rows() const;  ///< of each addend. Local
  int64_t cols() const;  ///< of each addend. Local

  /// Adds a matrix, [rows, cols] in f32 in host memory, which is no longer read when this returns.
  /// Ranks may add different numbers of matrices, also none; all ranks together at most 2^31 - 1.
  /// Throws InputError where the matrix is of another shape or dtype. Local.
  void add(ConstMatrixView addend);

  /// sum <- that of what all ranks have added, the same bits on all of them: [rows, cols] in f32 in
  /// host memory. There are no addends then. Throws InputError where `sum` is of another shape or
  /// dtype, before ranks exchange anything and on this rank alone, and on all where there are too
  /// many addends, which then stay; RunError where a rank does not come in time, after which
  /// neither this nor its Context is of use. Collective.
  void finish(MatrixView sum);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hashep
