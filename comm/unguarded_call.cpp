// SPDX-License-Identifier: Apache-2.0
#include "comm/unguarded_call.hpp"

#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "core/exit_code.hpp"

namespace hashep {
namespace {

constexpr auto kLook = std::chrono::milliseconds(50);
constexpr auto kSignalGrace =
    std::chrono::milliseconds(300);  // mpirun kills a second after SIGTERM

[[noreturn]] void end_process(const std::string& text, const std::function<bool()>& speaks) {
  if (speaks()) print_error("hashep", text);
  std::_Exit(kExitFailure);
}

}  // namespace

UnguardedCall::UnguardedCall(const Watch& watch, std::string what, std::function<bool()> speaks) {
  const std::string where =
      "rank " + std::to_string(watch.rank()) + " in " + to_string(watch.position()) + ": ";
  const auto begin = std::chrono::steady_clock::now();
  const auto stand_by = [&watch, where, begin, what = std::move(what),
                         speaks = std::move(speaks)](const std::stop_token& returned) {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock(mutex);
    while (!wake.wait_for(lock, returned, kLook, [&] { return returned.stop_requested(); })) {
      if (const int signal = watch.stop_signal(); signal != 0) {
        if (wake.wait_for(lock, returned, kSignalGrace,
                          [&] { return returned.stop_requested(); })) {
          return;  // it has returned: the rank itself sees the signal
        }
        end_process(where + "stopped by signal " + strsignal(signal) + " while " + what, speaks);
      }
      const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - begin;
      if (waited.count() >= watch.deadline()) {
        end_process(where + "no progress for " + std::to_string(std::llround(watch.deadline())) +
                        " s while " + what,
                    speaks);
      }
    }
  };
  thread_ = std::jthread(stand_by);
}

}  // namespace hashep
