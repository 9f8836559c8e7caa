// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/bench_transports.hpp"

#include "comm/agreement.hpp"
#include "launch/process/backend_words.hpp"
#include "launch/process/option_text.hpp"
#include "runtime/layer/backend_factory.hpp"

namespace hashep::bench {

std::string BenchTransports::lines(const std::string& note) const {
  std::string names;
  for (const auto& transport : transports) names += " " + std::string(transport->name());
  std::string text = "# transports:" + names + note + "\n";
  for (const std::string& reason : left_out) text += "# left out: " + reason + "\n";
  return text;
}

BenchTransports make_transports(
    std::span<const TransportKind> kinds, std::span<const TransportKind> known,
    const Communicator& comm,
    const std::function<std::unique_ptr<Transport>(TransportKind)>& make) {
  BenchTransports made;
  for (const TransportKind kind : kinds.empty() ? known : kinds) {
    try {
      made.transports.push_back(make(kind));
    } catch (const InputError& error) {
      if (!kinds.empty()) throw CollectiveInputError(error.marked(), comm.rank() == 0);
      made.left_out.push_back(option_text(error));
    }
  }
  return made;
}

BenchTransports make_transports(std::span<const TransportKind> kinds, const Communicator& comm,
                                const Topology& topology, Watch& watch, int threads) {
  std::vector<TransportKind> known;
  for (const auto& word : transport_words()) {  // automatic is one of the others
    if (word.value != TransportKind::automatic) known.push_back(word.value);
  }
  return make_transports(kinds, known, comm, [&](TransportKind kind) {
    return make_transport(kind, comm, topology, watch, threads);
  });
}

}  // namespace hashep::bench
