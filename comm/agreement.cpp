// SPDX-License-Identifier: Apache-2.0
#include "comm/agreement.hpp"

#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "comm/gather.hpp"
#include "core/narrow.hpp"
#include "core/setting.hpp"

namespace hashep {
namespace {

/// Sends rank 0's text to all ranks.
std::string broadcast_text(const Communicator& comm, Watch& watch, const std::string& text) {
  const int64_t length = gather_word(comm, watch, static_cast<int64_t>(text.size())).front();
  const auto received = std::make_shared<std::string>(text);
  received->resize(length);
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ibcast(received->data(), narrow<int>(length, "text length"), MPI_CHAR, 0,
                       comm.get(), &request),
            "MPI_Ibcast");
  watch.count_collective();
  watch.wait(request, received);
  return std::move(*received);
}

std::string difference(const std::vector<Setting>& first, const std::vector<Setting>& mine,
                       int rank) {
  for (size_t i = 0; i < first.size() && i < mine.size(); ++i) {
    if (first[i] == mine[i]) continue;
    return "ranks disagree on " + first[i].first + ": rank 0 has " + first[i].second + ", rank " +
           std::to_string(rank) + " has " + mine[i].second;
  }
  return "ranks disagree on their number of settings: rank 0 has " + std::to_string(first.size()) +
         ", rank " + std::to_string(rank) + " has " + std::to_string(mine.size());
}

// Settings as text: names and values ended by characters that command lines do not hold.
constexpr char kNameEnd = '\x1f';
constexpr char kValueEnd = '\x1e';

std::string join(const std::vector<Setting>& settings) {
  std::string text;
  for (const auto& [name, value] : settings) {
    text += name;
    text += kNameEnd;
    text += value;
    text += kValueEnd;
  }
  return text;
}

std::vector<Setting> split(const std::string& text) {
  std::vector<Setting> settings;
  for (size_t begin = 0; begin < text.size();) {
    const size_t name_end = text.find(kNameEnd, begin);
    const size_t value_end = text.find(kValueEnd, name_end);
    settings.emplace_back(text.substr(begin, name_end - begin),
                          text.substr(name_end + 1, value_end - name_end - 1));
    begin = value_end + 1;
  }
  return settings;
}

// Outcomes of a rank's work.
constexpr int64_t kDone = 0;
constexpr int64_t kBadInput = 1;
constexpr int64_t kFailed = 2;
constexpr int64_t kNumOutcomes = 3;

/// The outcome of `work` on this rank, and what went wrong.
std::pair<int64_t, std::string> run_locally(const Watch& watch, const std::function<void()>& work) {
  const std::string where =
      "rank " + std::to_string(watch.rank()) + " in " + to_string(watch.position());
  try {
    work();
    return {kDone, ""};
  } catch (const InputError& error) {
    return {kBadInput, error.marked()};
  } catch (const std::bad_alloc&) {
    return {kFailed, where + ": out of memory"};
  } catch (const std::exception& error) {
    if (dynamic_cast<const ReporterKnown*>(&error) != nullptr) throw;
    return {kFailed, where + ": " + marked_text(error)};
  }
}

}  // namespace

std::vector<int64_t> gather_word(const Communicator& comm, Watch& watch, int64_t word) {
  return gather_words(comm, watch, {&word, 1});
}

void agree(const Communicator& comm, Watch& watch, const std::function<void()>& work) {
  const auto [outcome, failure] = run_locally(watch, work);
  const std::vector<int64_t> words =
      gather_word(comm, watch, watch.rank() * kNumOutcomes + outcome);
  for (int place = 0; place < comm.size(); ++place) {
    const int64_t of_rank = words[place] % kNumOutcomes;
    if (of_rank == kDone) continue;
    const auto rank = static_cast<int>(words[place] / kNumOutcomes);
    const bool is_reporter = rank == watch.rank();
    const std::string text = failure.empty() ? "rank " + std::to_string(rank) + " failed" : failure;
    if (comm.size() < watch.size()) {
      if (!is_reporter) throw ReportedByPeer(rank);
      if (of_rank == kBadInput) throw InputError(text);
      throw RunError(text);
    }
    if (of_rank == kBadInput) throw CollectiveInputError(text, is_reporter);
    throw CollectiveRunError(text, is_reporter);
  }
}

void require_same_settings(const Communicator& comm, Watch& watch,
                           const std::vector<Setting>& settings) {
  const std::string mine = join(settings);
  const std::string first = broadcast_text(comm, watch, mine);
  agree(comm, watch, [&] {
    if (mine != first) throw InputError(difference(split(first), settings, comm.rank()));
  });
}

}  // namespace hashep
