// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "hashep/buffer.hpp"
#include "hashep/ffn_shape.hpp"

namespace hashep {

/// Weights of one expert: views in host memory, and the memory behind them where this object is
/// what holds it.
struct LoadedFfn {
  FfnWeights weights;              ///< views
  std::vector<Buffer> owned = {};  ///< empty where somebody else holds it
};

/// A stretch of a file.
struct FileRange {
  std::string path;    ///< of the file
  int64_t offset = 0;  ///< of its first byte
  int64_t bytes = 0;   ///< how many
};

/// Where the weights of one expert are stored.
struct StoredFfn {
  std::vector<FileRange> parts;  ///< that they are made of
  /// The weights, of an address for each part, where its bytes stand in memory, at any alignment.
  std::function<FfnWeights(std::span<const std::byte* const> parts)> weights;
};

/// A matrix in host memory, and the memory behind it where this object is what holds it.
struct LoadedMatrix {
  ConstMatrixView view;  ///< of it
  Buffer owned = {};     ///< empty where somebody else holds it
};

/// Where the weights of a stack come from: a folder, a seed, or the caller's own arrays. Derive
/// from it to bring another one. A rank asks for its own experts alone, one at a time, when a Stack
/// is made, and not afterwards: they are packed, or read from their files, so a source may go once
/// the stack is there. Views
/// must stay valid until the next call, and as long as the Loaded... object lives. All calls are
/// local, and none of them may communicate. They throw InputError, naming what is missing or
/// misshapen; the Stack then throws on all ranks.
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  /// The weights of a routed expert, of StackShape::routed_shape; quantised, where they are stored
  /// so. layer: [0, num_layers), expert: [0, num_experts).
  virtual LoadedFfn routed_expert(int64_t layer, int64_t expert) const = 0;

  /// The shared experts of a layer, as one FFN of StackShape::shared_shape; asked for where there
  /// are any. Throws InputError where it is not overridden.
  virtual LoadedFfn shared_experts(int64_t layer) const;

  /// The gate of a layer, [num_experts, hidden_size], fp32, in memory that LoadedMatrix owns; asked
  /// for where StackShape::has_gate_weights. Throws InputError where it is not overridden.
  virtual LoadedMatrix gate(int64_t layer) const;

  /// What GateKind::noaux_tc adds to scores to choose by, [1, num_experts], fp32, in memory that
  /// LoadedMatrix owns. Throws InputError where it is not overridden.
  virtual LoadedMatrix gate_bias(int64_t layer) const;

  /// Where a routed expert is stored, for a Stack that reads experts when they are needed
  /// (StackOptions::weight_memory). Nothing, which is the default, where they are in no file.
  virtual std::optional<StoredFfn> stored_expert(int64_t layer, int64_t expert) const;

  /// A digest of a few rows of any routed expert, so that a rank can compare what it would have
  /// read with what the expert's owner has read. Nothing, which is the default, where a rank cannot
  /// have other ranks' experts: then they are not compared.
  virtual std::optional<uint64_t> sample_expert(int64_t layer, int64_t expert) const;

  /// A digest of names, dtypes and shapes of all tensors of the model, for ranks to compare. 0,
  /// which is the default: nothing to compare.
  virtual uint64_t shape_digest() const { return 0; }
};

}  // namespace hashep
