// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "hashep/adamw.hpp"
#include "hashep/stack.hpp"

namespace hashep {

/// What a checkpoint is to have beside parameters and states.
struct CheckpointOptions {
  int64_t vocab_size = 0;    ///< config.json's, where no router says it; 0: the router does
  std::string program = "";  ///< the caller's own, given back by load_checkpoint: a JSON object,
                             ///< such as the position in the data and seeds; empty: {}
  int keep_last = 3;         ///< checkpoints in the folder, at least 1: older ones go
};

/// Writes FOLDER/step-N, N being optimizer.steps(), and makes FOLDER/latest a link to it. It is a
/// model folder, which open_model and `hashep run --model` read, of fp32 weights, with the
/// optimizer's states and state.json beside (docs/training.md). Each rank writes its own experts;
/// FOLDER has to be where all ranks see it. A step-N that was there is replaced.
///
/// It appears by one rename, when all of it is written: whatever is killed when, the checkpoints
/// before it stay whole. Throws on all ranks: InputError where the folder cannot be written to, or
/// another job is writing there; RunError where writing fails. Collective.
void save_checkpoint(Stack& stack, AdamW& optimizer, const std::string& folder,
                     const CheckpointOptions& options = {});

/// What load_checkpoint has found.
struct LoadedCheckpoint {
  std::string path;     ///< of the checkpoint itself
  int64_t steps = 0;    ///< the optimizer's
  std::string program;  ///< CheckpointOptions::program
};

/// Reads a checkpoint into the parameters and states of `optimizer`, and packs them. `path`: the
/// checkpoint itself, or a folder of save_checkpoint, whose latest one is read. Any number of ranks
/// and any placement of experts may have written it; a rank reads its own experts alone.
///
/// Throws InputError on all ranks, naming file and tensor, where there is none, where a file's
/// digest is not the one that was written, where a parameter is missing or has another shape, or
/// where routing was another one: parameters may then be half read. Collective.
LoadedCheckpoint load_checkpoint(Stack& stack, AdamW& optimizer, const std::string& path);

}  // namespace hashep
