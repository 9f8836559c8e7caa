// SPDX-License-Identifier: Apache-2.0
#include "launch/process/standard_streams.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "hashep/error.hpp"

namespace hashep {
namespace {

/// Some file systems tell what went wrong only where a file is closed.
bool can_be_closed(int descriptor) {
  const int copy = dup(descriptor);
  return copy >= 0 && close(copy) == 0;
}

}  // namespace

void secure_standard_streams() noexcept {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) != -1 || errno != EBADF) continue;
    // It gets the lowest free number, which is this one: those below are open by now.
    if (open("/dev/null", O_RDONLY) < 0) return;
  }
}

void flush_stdout() {
  const bool had_failed = std::ferror(stdout) != 0;
  errno = 0;
  if (std::fflush(stdout) == 0 && !had_failed && can_be_closed(STDOUT_FILENO)) return;
  const std::string why = errno == 0 ? "a write failed" : std::generic_category().message(errno);
  throw RunError("standard output: " + why);
}

}  // namespace hashep
