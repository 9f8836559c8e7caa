// SPDX-License-Identifier: Apache-2.0
// The suite of exchanges on transports of CPUs; on those of GPUs: device_transport_test and
// exchange_gpu_test. Transport local, whose ranks are threads: local_transport_test.
#include "tests/support/exchange_suite.hpp"

#include <map>
#include <set>

#include "comm/exchange/hier_transport.hpp"
#include "comm/exchange/mpi_transport.hpp"
#include "comm/exchange/shm_transport.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

/// Makes a driver of a transport that is made of these.
template <typename Make>
auto driver_of(Make make, BetweenParts between = BetweenParts::waits) {
  return [make, between](Ranks& ranks, const Topology& topology) {
    return std::make_unique<HostDriver>(make(ranks, topology), between);
  };
}

ExchangeWay hier_way(const std::string& nodes, const std::function<int(int)>& label, int threads,
                     BetweenParts between, bool reduces) {
  const auto make = [threads](Ranks& ranks, const Topology& topology) {
    return std::make_unique<HierTransport>(ranks.comm, topology, ranks.watch, threads);
  };
  return {"hier, " + nodes + (between == BetweenParts::polls ? ", polls" : "") +
              (reduces ? ", reduces" : ""),
          driver_of(make, between), label, reduces};
}

/// Nodes of the job's ranks, numbered as they come: equal for two labels that group the ranks
/// alike.
std::vector<int> grouping(const std::function<int(int)>& label, int ranks) {
  std::map<int, int> numbers;
  std::vector<int> nodes;
  for (int rank = 0; rank < ranks; ++rank) {
    const int own = label ? label(rank) : 0;
    nodes.push_back(numbers.try_emplace(own, static_cast<int>(numbers.size())).first->second);
  }
  return nodes;
}

/// All transports of CPUs that this job can have, each in its ways.
std::vector<ExchangeWay> host_ways(Ranks& ranks) {
  std::vector<ExchangeWay> ways;
  ways.push_back({"mpi", driver_of([](Ranks& on, const Topology&) {
                    return std::make_unique<MpiTransport>(on.comm, on.watch, 1);
                  })});
  const bool is_on_one_host = find_topology(ranks.comm, ranks.watch).nodes.num_nodes() == 1;
  if (is_on_one_host) {
    for (const int threads : {1, 2}) {
      ways.push_back({"shm, " + std::to_string(threads) + " threads",
                      driver_of([threads](Ranks& on, const Topology& topology) {
                        return std::make_unique<ShmTransport>(topology, on.comm.rank(), on.watch,
                                                              threads);
                      })});
    }
  }
  const std::vector<std::pair<std::string, std::function<int(int)>>> nodes = {
      {"one node", {}},
      {"a rank a node", [](int rank) { return rank; }},
      {"two ranks a node", [](int rank) { return rank / 2; }},
      {"ranks dealt to two nodes", [](int rank) { return rank % 2; }},
      {"three ranks on the first node", [](int rank) { return rank < 3 ? 0 : rank; }}};
  std::set<std::vector<int>> groupings;
  for (const auto& [name, label] : nodes) {
    // Few ranks are grouped alike by several labels; ranks on several hosts are grouped by these
    // alone.
    const bool is_new = groupings.insert(grouping(label, ranks.comm.size())).second;
    if (!is_new || (!is_on_one_host && groupings.size() > 1)) continue;
    for (const bool reduces : {false, true}) {
      const int threads = reduces ? 1 : 2;
      ways.push_back(hier_way(name, label, threads, BetweenParts::waits, reduces));
      ways.push_back(hier_way(name, label, threads, BetweenParts::polls, reduces));
    }
  }
  return ways;
}

TEST_CASE("every exchange between CPUs puts every row in its place, a part at a time") {
  Ranks ranks;
  for (const ExchangeWay& way : host_ways(ranks)) {
    INFO(way.name);
    check_rows_in_place(ranks, way);
  }
}

TEST_CASE("every exchange between CPUs gives the same bits") {
  Ranks ranks;
  std::mt19937 random(23);
  for (const ExchangeWay& way : host_ways(ranks)) {
    INFO(way.name);
    check_bits(ranks, way, random);
  }
}

}  // namespace
}  // namespace hashep::test
