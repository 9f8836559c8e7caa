// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep {

/// For the first line of a main: where stdin, stdout or stderr is closed, puts something there that
/// is empty to read and refuses what is written, so that no file which is opened later takes its
/// place and gets the program's text.
void secure_standard_streams() noexcept;

/// Writes out what was printed to stdout. Throws RunError where any of it, now or before, did not
/// get there: the disk is full, stdout is closed. A pipe that nobody reads ends the program by
/// SIGPIPE instead, silently, as `| head` expects of programs. Local.
void flush_stdout();

}  // namespace hashep
