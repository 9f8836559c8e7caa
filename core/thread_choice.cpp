// SPDX-License-Identifier: Apache-2.0
#include "core/thread_choice.hpp"

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "core/narrow.hpp"

namespace hashep {
namespace {

constexpr int kMostThreads = 4096;

/// The number that a variable holds, or its list begins with; 0: none that can be taken.
int number_in(const Environment& environment, const char* name) {
  const char* const value = environment(name);
  if (value == nullptr) return 0;
  std::string_view text = value;
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const bool is_number = error == std::errc() && (text.empty() || text.front() == ',');
  return is_number && number > 0 && number <= kMostThreads ? number : 0;
}

/// Threads that somebody has asked for, whatever is granted.
ThreadChoice as_asked(int threads, const std::string& by, const CoreShare& share) {
  if (threads <= share.threads()) return {threads, by};
  return {threads, by + ", more than was granted: " + share.why};
}

}  // namespace

ThreadChoice choose_threads(int64_t asked, const std::string& asked_by, const CoreShare& share,
                            const Environment& environment) {
  if (asked > 0) return as_asked(narrow<int>(asked, asked_by.c_str()), asked_by, share);
  if (const int threads = number_in(environment, "OMP_NUM_THREADS"); threads > 0) {
    return as_asked(threads, "OMP_NUM_THREADS", share);
  }
  const int of_task = number_in(environment, "SLURM_CPUS_PER_TASK");
  if (of_task > 0 && of_task < share.threads()) return {of_task, "SLURM_CPUS_PER_TASK"};
  return {share.threads(), share.why};
}

ThreadChoice choose_threads(int64_t asked, const std::string& asked_by, const CoreShare& share) {
  return choose_threads(asked, asked_by, share, [](const char* name) { return std::getenv(name); });
}

}  // namespace hashep
