// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "launch/process/words.hpp"

namespace hashep {

/// Progress of a long run on stderr: a bar that redraws itself on a terminal, plain lines in a log.
/// Silent for runs of under two seconds.
class Progress {
 public:
  enum class Style { off, lines, bar };

  /// `style`: nothing for a bar where a person looks at stderr, else lines. The rate shown is that
  /// of steps, times `units_per_step`.
  Progress(std::optional<Style> style, int64_t steps, int64_t units_per_step,
           const std::string& step = "step", const std::string& units = "tokens");
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` steps are finished.
  void update(int64_t done);

 private:
  using Clock = std::chrono::steady_clock;

  std::string text(int64_t done) const;

  Style style_;
  int64_t steps_;
  int64_t units_per_step_;
  std::string step_;
  std::string units_;
  Clock::time_point begin_;
  Clock::time_point next_;
  bool bar_drawn_ = false;
};

/// The words of --progress; auto is nothing.
std::span<const Word<std::optional<Progress::Style>>> progress_words();

}  // namespace hashep
