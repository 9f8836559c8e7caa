// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace hashep::test {

/// One end of a line between two processes.
class Line {
 public:
  explicit Line(int file) : file_(file) {}
  Line(Line&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  Line& operator=(Line&&) = delete;
  ~Line() {
    if (file_ >= 0) close(file_);
  }

  template <typename T>
  void send(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (::send(file_, &value, sizeof(value), MSG_NOSIGNAL) != sizeof(value)) lost();
  }
  template <typename T>
  T receive() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    if (recv(file_, &value, sizeof(value), MSG_WAITALL) != sizeof(value)) lost();
    return value;
  }

 private:
  [[noreturn]] static void lost() { throw std::runtime_error("the other process is gone"); }

  int file_;
};

/// A process forked off the test's, which does `body` on its end of a line. Make it while nothing
/// of the stand-in is alive.
class OtherProcess {
 public:
  explicit OtherProcess(const std::function<void(Line&)>& body) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) throw std::runtime_error("no socketpair");
    process_ = fork();
    if (process_ < 0) throw std::runtime_error("no fork");
    if (process_ == 0) {
      close(ends[0]);
      Line end(ends[1]);
      int code = 0;
      try {
        body(end);
      } catch (const std::exception&) {
        code = 1;
      }
      _exit(code);
    }
    close(ends[1]);
    line_ = ends[0];
  }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;
  ~OtherProcess() { wait(); }

  Line line() { return Line(std::exchange(line_, -1)); }

  /// Whether all went well there.
  bool wait() {
    if (process_ <= 0) return false;
    if (line_ >= 0) close(line_);
    int status = 0;
    const pid_t ended = waitpid(std::exchange(process_, 0), &status, 0);
    return ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

 private:
  pid_t process_ = 0;
  int line_ = -1;
};

}  // namespace hashep::test
