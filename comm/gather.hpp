// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/watch.hpp"

namespace hashep {

/// Elementwise reduction over ranks, the result on all of them. All ranks pass the same length.
/// Collective.
std::vector<double> reduce_max(const Communicator& comm, Watch& watch, std::vector<double> values);
std::vector<double> reduce_min(const Communicator& comm, Watch& watch, std::vector<double> values);
int64_t reduce_sum(const Communicator& comm, Watch& watch, int64_t value);
int64_t reduce_max(const Communicator& comm, Watch& watch, int64_t value);

/// The same of any length, the result in place of the values.
void reduce_sum(const Communicator& comm, Watch& watch, std::span<int64_t> values);
void reduce_max(const Communicator& comm, Watch& watch, std::span<int8_t> values);

/// All ranks' values, one rank's after the other's, on all of them: [comm.size(), values.size()].
/// All ranks pass the same length. Collective.
std::vector<double> gather_values(const Communicator& comm, Watch& watch,
                                  std::span<const double> values);
std::vector<int64_t> gather_words(const Communicator& comm, Watch& watch,
                                  std::span<const int64_t> words);

/// The texts of all ranks in rank order on rank 0, nothing elsewhere. Collective.
std::vector<std::string> gather_texts(const Communicator& comm, Watch& watch,
                                      const std::string& text);

/// Word r of rank 0's `words` on rank r. words: [comm.size()] on rank 0, not read elsewhere.
/// Collective.
int64_t scatter_word(const Communicator& comm, Watch& watch, std::span<const int64_t> words);

}  // namespace hashep
