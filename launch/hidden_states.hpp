// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "comm/communicator.hpp"
#include "comm/shared_file.hpp"
#include "hashep/split.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

/// Reads this rank's rows of the tensor `hidden_states` [batch_tokens, hidden_size] (F32, F16 or
/// BF16) of a safetensors file into `out` [rows.size(), hidden_size], converting to out's dtype.
/// Only these rows are read. Throws InputError. Local.
void load_hidden_states(const std::string& path, int64_t batch_tokens, Range rows, MatrixView out);

/// A digest by which ranks, which read different rows of such a file, tell whether it is the same
/// one: XXH64 of its shape, and of the first 4 KiB of up to 256 evenly spaced rows. The file was
/// read by load_hidden_states. Local.
uint64_t hidden_states_digest(const std::string& path);

/// Fills `out` with rows `rows` of seeded normal states: a pure function of (seed, global row,
/// column).
void make_hidden_states(uint64_t seed, Range rows, MatrixView out);

/// Writes the rows of all ranks in global token order as tensor `hidden_states` [batch_tokens,
/// hidden_size] of a safetensors file, each rank its own, and commits it. x: this rank's rows,
/// `rows` of the batch. Collective.
void write_hidden_states(const Communicator& comm, int64_t batch_tokens, ConstMatrixView x,
                         SharedFile& file);

}  // namespace hashep
