// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace hashep {

// What a stack runs on. `automatic` is never wrong: it stands for what is best in this build, on
// these nodes and GPUs.

/// Where hidden states are and experts compute.
enum class Device {
  automatic,  ///< a GPU where each rank can have one
  cpu,        ///< host memory, this machine's cores
  cuda        ///< an NVIDIA GPU's memory, and that GPU
};

/// How rows move between ranks.
enum class TransportKind {
  automatic,  ///< the best one here
  mpi,        ///< CPUs: messages of MPI
  shm,        ///< CPUs of one node: shared memory
  hier,       ///< between nodes a message for each pair, inside of a node its memory; CPUs or GPUs
  nccl,       ///< GPUs: messages of NCCL
  ipc         ///< GPUs of one node: the memory of their peers
};

/// The word for it in messages and results: "hier". That of automatic is "auto".
std::string_view transport_name(TransportKind kind);

/// The library of the experts' GEMMs on a CPU. `automatic` is LIBXSMM on x86 machines with AVX2 and
/// no AVX-512, in builds that have it, else oneDNN: with AVX2 alone oneDNN 2.6 reaches 0.72 of the
/// peak at 512 rows and LIBXSMM 0.9, with AVX-512 oneDNN itself reaches 0.95.
enum class GemmLibrary {
  automatic,  ///< by rule
  onednn,     ///< oneDNN
  xsmm        ///< LIBXSMM
};

/// How quantised weights stand in memory. No output bit depends on it.
enum class WeightForm {
  automatic,  ///< packed, but expanded where they are trained, on a GPU, or have odd blocks
  packed,     ///< as they are stored; they are expanded block by block next to the GEMMs
  expanded    ///< to the dtype that experts compute in
};

/// How the GEMMs of routed experts are asked for on a GPU.
enum class GemmGrouping {
  per_expert,  ///< one GEMM a tile, tiles dealt to lanes; sums stay fp32 up to the activation
  grouped,     ///< one call for all experts; the first GEMM's result is rounded to the dtype
  fused        ///< one launch for all experts, the activation in it, rows read on the GPU
};

/// When steps on a GPU are captured as CUDA graphs and replayed.
enum class GraphMode {
  off,       ///< none
  on,        ///< every step
  automatic  ///< steps whose shape was met before: a graph pays from its second launch on
};

/// How rows of transport nccl come to their expert-major places at the owner.
enum class Landing {
  direct,  ///< a message for each (source, expert), received straight into its place
  unpack   ///< a message for each source, received rank-major, and copied to its places afterwards
};

}  // namespace hashep
