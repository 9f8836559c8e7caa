// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/bench_transports.hpp"

#include "comm/agreement.hpp"
#include "runtime/layer/backend_factory.hpp"

namespace hashep::bench {
BenchTransports make_transports(const std::vector<std::string>& names, const Communicator& comm,
                                const Topology& topology, Watch& watch, int threads) {
  const bool all = names.size() == 1 && names.front() == "all";
  std::vector<std::string> wanted = names;
  if (all) {
    const auto known = transport_names();
    wanted.assign(known.begin() + 1, known.end());  // but auto, which is one of the others
  }
  BenchTransports made;
  for (const std::string& name : wanted) {
    try {
      made.transports.push_back(make_transport(name, comm, topology, watch, threads));
    } catch (const InputError& error) {  // on all ranks alike
      if (!all) throw CollectiveInputError(error.what(), comm.rank() == 0);
      made.left_out.push_back(error.what());
    }
  }
  return made;
}

}  // namespace hashep::bench
