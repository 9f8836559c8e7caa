// SPDX-License-Identifier: Apache-2.0
#include "launch/chrome_trace.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "comm/gather.hpp"

namespace hashep {
namespace {

using Json = nlohmann::ordered_json;

std::string thread_text(int thread, const std::string& name) {
  const Json json = {{"name", "thread_name"},
                     {"ph", "M"},
                     {"pid", 0},
                     {"tid", thread},
                     {"args", {{"name", name}}}};
  return json.dump();
}

/// This rank's events as JSON objects, joined by commas. Threads: the ranks, then their second
/// tracks where they have any.
std::string events_text(int rank, int ranks, const PhaseLog& log) {
  const std::string name = "rank " + std::to_string(rank);
  std::string text = thread_text(rank, name);
  const auto events = log.events();
  if (std::any_of(events.begin(), events.end(), [](const auto& e) { return e.track > 0; })) {
    text += ",\n" + thread_text(ranks + rank, name + ", exchange");
  }
  for (const PhaseEvent& event : log.events()) {
    const Position& position = event.position;
    const Json json = {{"name", phase_name(position.phase)},
                       {"ph", "X"},
                       {"pid", 0},
                       {"tid", event.track == 0 ? rank : ranks + rank},
                       {"ts", static_cast<double>(event.begin_ns) * 1e-3},
                       {"dur", static_cast<double>(event.end_ns - event.begin_ns) * 1e-3},
                       {"args", {{"step", position.step}, {"layer", position.layer}}}};
    text += ",\n" + json.dump();
  }
  return text;
}

}  // namespace

void write_chrome_trace(const Communicator& comm, Watch& watch, const PhaseLog& log,
                        AtomicFile* file) {
  const auto texts = gather_texts(comm, watch, events_text(comm.rank(), comm.size(), log));
  if (comm.rank() != 0) return;
  file->write("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
  for (size_t rank = 0; rank < texts.size(); ++rank) {
    file->write(rank == 0 ? texts[rank] : ",\n" + texts[rank]);
  }
  file->write("\n]}\n");
  file->commit();
}

}  // namespace hashep
