// SPDX-License-Identifier: Apache-2.0
#include "launch/stop_signal.hpp"

#include <csignal>
#include <type_traits>

namespace hashep {
namespace {

// A signal handler can reach nothing but a static object.
volatile std::sig_atomic_t stop_signal = 0;
static_assert(std::is_same_v<std::sig_atomic_t, int>);

extern "C" void note_stop_signal(int signal) {
  stop_signal = signal;
}

}  // namespace

const volatile int* catch_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = note_stop_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return &stop_signal;
}

}  // namespace hashep
