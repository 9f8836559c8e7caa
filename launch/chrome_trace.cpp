// SPDX-License-Identifier: Apache-2.0
#include "launch/chrome_trace.hpp"

#include <nlohmann/json.hpp>

#include "comm/gather.hpp"

namespace hashep {
namespace {

using Json = nlohmann::ordered_json;

/// This rank's events as JSON objects, joined by commas.
std::string events_text(int rank, const PhaseLog& log) {
  const Json name = {{"name", "thread_name"},
                     {"ph", "M"},
                     {"pid", 0},
                     {"tid", rank},
                     {"args", {{"name", "rank " + std::to_string(rank)}}}};
  std::string text = name.dump();
  for (const PhaseEvent& event : log.events()) {
    const Position& position = event.position;
    const Json json = {{"name", phase_name(position.phase)},
                       {"ph", "X"},
                       {"pid", 0},
                       {"tid", rank},
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
  const auto texts = gather_texts(comm, watch, events_text(comm.rank(), log));
  if (comm.rank() != 0) return;
  file->write("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
  for (size_t rank = 0; rank < texts.size(); ++rank) {
    file->write(rank == 0 ? texts[rank] : ",\n" + texts[rank]);
  }
  file->write("\n]}\n");
  file->commit();
}

}  // namespace hashep
