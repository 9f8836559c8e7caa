// SPDX-License-Identifier: Apache-2.0
#include "launch/progress.hpp"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <string_view>

#include "core/format.hpp"

namespace hashep {
namespace {

constexpr auto kQuietStart = std::chrono::seconds(2);
constexpr auto kBarInterval = std::chrono::milliseconds(200);
constexpr auto kLineInterval = std::chrono::seconds(5);
constexpr int kBarWidth = 30;  // characters

/// Whether a person looks at stderr. mpirun gives its ranks a pipe as stderr whatever its own is,
/// so the launching process's stderr counts too.
bool stderr_is_seen() {
  if (isatty(STDERR_FILENO) != 0) return true;
  const std::string link = "/proc/" + std::to_string(getppid()) + "/fd/2";
  std::array<char, 64> target{};
  const ssize_t length = readlink(link.c_str(), target.data(), target.size());
  if (length <= 0) return false;
  return std::string_view(target.data(), static_cast<size_t>(length)).starts_with("/dev/pts/");
}

Progress::Style style_of_stderr() {
  return stderr_is_seen() ? Progress::Style::bar : Progress::Style::lines;
}

constexpr Word<std::optional<Progress::Style>> kWords[] = {{"auto", std::nullopt},
                                                           {"bar", Progress::Style::bar},
                                                           {"lines", Progress::Style::lines},
                                                           {"off", Progress::Style::off}};

}  // namespace

Progress::Progress(std::optional<Style> style, int64_t steps, int64_t units_per_step,
                   const std::string& step, const std::string& units)
    : style_(style ? *style : style_of_stderr()),
      steps_(steps),
      units_per_step_(units_per_step),
      step_(step),
      units_(units),
      begin_(Clock::now()),
      next_(begin_ + kQuietStart) {}

Progress::~Progress() {
  if (bar_drawn_) std::fputc('\n', stderr);
}

std::string Progress::text(int64_t done) const {
  const double seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
  const double rate = static_cast<double>(done * units_per_step_) / seconds;
  const double left = seconds / static_cast<double>(done) * static_cast<double>(steps_ - done);
  return format("%s %lld/%lld, %.0f %s/s, %.0f s left", step_.c_str(), static_cast<long long>(done),
                static_cast<long long>(steps_), rate, units_.c_str(), left);
}

void Progress::update(int64_t done) {
  const auto now = Clock::now();
  if (style_ == Style::off || done <= 0 || now < next_) return;
  if (style_ == Style::lines) {
    next_ = now + kLineInterval;
    std::fprintf(stderr, "hashep: %s\n", text(done).c_str());
    return;
  }
  next_ = now + kBarInterval;
  const int filled = static_cast<int>(done * kBarWidth / steps_);
  const std::string bar = std::string(filled, '#') + std::string(kBarWidth - filled, '.');
  std::fprintf(stderr, "\r[%s] %s   ", bar.c_str(), text(done).c_str());
  std::fflush(stderr);
  bar_drawn_ = true;
}

std::span<const Word<std::optional<Progress::Style>>> progress_words() {
  return kWords;
}

}  // namespace hashep
