// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <dnnl.hpp>
#include <optional>
#include <vector>

#include "hashep/buffer.hpp"
#include "hashep/ffn_shape.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep::bench {

/// What oneDNN gives for the GEMMs of a rank's experts with nothing else around them: each GEMM is
/// one inner product of all of an expert's rows, its weights packed in the layout that oneDNN
/// chooses for just this many rows, its activation a post-op where oneDNN has one. Built on oneDNN
/// alone, not on the project's experts, so that it is a yardstick for them. Where oneDNN has no
/// bf16 on this machine, the GEMMs are those of fp32.
class GemmAlone {
 public:
  /// Experts of one shape with `rows` rows each.
  GemmAlone(const FfnShape& shape, DType dtype, int64_t num_experts, int64_t rows, int threads);

  void set_expert(int64_t expert, const FfnWeights& weights);

  /// Copies in the rows of all experts, [num_experts * rows, hidden_size].
  void set_rows(ConstMatrixView x);

  /// The GEMMs of all experts. Without `whole` nothing but them; with it also the passes between
  /// them that oneDNN lacks, so that the result is right.
  void run(bool whole);

  /// Row `row` of the result.
  std::vector<float> result(int64_t row) const;

 private:
  enum Gemm { kGate, kUp, kDown };
  struct Expert {
    Buffer storage[3];
    dnnl::memory weights[3];
    dnnl::memory x;
    dnnl::memory y;
  };
  struct Thread {
    dnnl::stream stream;
    Buffer gate_storage, up_storage, hidden_storage, scratch_storage;
    dnnl::memory gate, up, hidden;
    dnnl::memory scratchpad[3];
  };

  bool gated() const { return shape_.activation == Activation::silu; }
  void make_gemm(Gemm gemm, int64_t inputs, int64_t outputs, DType result);
  dnnl::memory make_memory(const dnnl::memory::desc& description, Buffer& storage) const;
  void run_expert(Thread& thread, const Expert& expert, bool whole);
  void finish_hidden(Thread& thread) const;

  FfnShape shape_;
  DType dtype_;
  int64_t rows_;
  dnnl::engine engine_;
  DType operand_;
  std::optional<dnnl::inner_product_forward::primitive_desc> descriptions_[3];
  std::optional<dnnl::inner_product_forward> gemms_[3];
  Buffer x_, y_;
  std::vector<Expert> experts_;
  std::vector<Thread> threads_;
};

}  // namespace hashep::bench
