// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/bench_transports.hpp"

#include "comm/agreement.hpp"
#include "launch/process/backend_words.hpp"
#include "launch/process/option_text.hpp"
#include "runtime/layer/backend_factory.hpp"

namespace hashep::bench {

BenchTransports make_transports(std::span<const TransportKind> kinds, const Communicator& comm,
                                const Topology& topology, Watch& watch, int threads) {
  const bool all = kinds.empty();
  std::vector<TransportKind> wanted(kinds.begin(), kinds.end());
  if (all) {
    for (const auto& known : transport_words()) {  // automatic is one of the others
      if (known.value != TransportKind::automatic) wanted.push_back(known.value);
    }
  }
  BenchTransports made;
  for (const TransportKind kind : wanted) {
    try {
      made.transports.push_back(make_transport(kind, comm, topology, watch, threads));
    } catch (const InputError& error) {  // on all ranks alike
      if (!all) throw CollectiveInputError(error.marked(), comm.rank() == 0);
      made.left_out.push_back(option_text(error));
    }
  }
  return made;
}

}  // namespace hashep::bench
