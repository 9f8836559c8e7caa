// SPDX-License-Identifier: Apache-2.0
#include "launch/machine_topology.hpp"

#include <sched.h>

#include "hashep/error.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

std::string machine_file(const std::string& name) {
  return std::string(HASHEP_TEST_MACHINES) + "/" + name + ".xml";
}

/// What the test binds is as it was before.
class KeptBinding {
 public:
  KeptBinding() { REQUIRE(sched_getaffinity(0, sizeof(mask_), &mask_) == 0); }
  ~KeptBinding() { sched_setaffinity(0, sizeof(mask_), &mask_); }
  KeptBinding(const KeptBinding&) = delete;
  KeptBinding& operator=(const KeptBinding&) = delete;

  /// Whether the process may run on the machine files' cores 0 and 1.
  bool has_two_cores() const { return CPU_ISSET(0, &mask_) && CPU_ISSET(1, &mask_); }

 private:
  cpu_set_t mask_{};
};

std::vector<int> cores_of_thread() {
  cpu_set_t mask;
  REQUIRE(sched_getaffinity(0, sizeof(mask), &mask) == 0);
  std::vector<int> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &mask)) cores.push_back(core);
  }
  return cores;
}

void bind_thread(std::initializer_list<int> cores) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  for (const int core : cores) CPU_SET(core, &mask);
  REQUIRE(sched_setaffinity(0, sizeof(mask), &mask) == 0);
}

}  // namespace

TEST_CASE("a GPU's NUMA node is that of its host bridge") {
  const auto machine = MachineTopology::from_xml(machine_file("two_sockets"));
  CHECK(machine.num_numa_nodes() == 2);  // not the one that is memory alone
  CHECK(machine.numa_node_of("0000:1b:00.0") == 0);
  CHECK(machine.numa_node_of("0000:3d:00.0") == 0);
  CHECK(machine.numa_node_of("0000:9b:00.0") == 2);
  CHECK(machine.numa_node_of("0000:BB:00.0") == 2);
  CHECK(machine.numa_node_of("0000:cc:00.0") == -1);
  CHECK(machine.numa_node_of("") == -1);
  CHECK(MachineTopology::from_xml(machine_file("ethernet_only")).numa_node_of("0000:41:00.0") == 0);
}

TEST_CASE("a GPU's network interface is the nearest InfiniBand one that is up, else Ethernet") {
  const auto machine = MachineTopology::from_xml(machine_file("two_sockets"));
  CHECK(machine.nearest_nic("0000:1b:00.0") == "mlx5_1");  // mlx5_0 is nearer, and down
  CHECK(machine.nearest_nic("0000:3d:00.0") == "mlx5_1");
  CHECK(machine.nearest_nic("0000:9b:00.0") == "mlx5_2");  // not eth0, which is as near
  CHECK(machine.nearest_nic("0000:bb:00.0") == "mlx5_2");
  CHECK(machine.nearest_nic("0000:cc:00.0").empty());
  const auto ethernet = MachineTopology::from_xml(machine_file("ethernet_only"));
  CHECK(ethernet.nearest_nic("0000:41:00.0") == "ens1");  // ens0 comes first, and is farther
}

TEST_CASE("a file that is no machine is an error that names it") {
  CHECK_THROWS_AS(MachineTopology::from_xml("no/such.xml"), InputError);
  CHECK_THROWS_WITH(MachineTopology::from_xml("no/such.xml"),
                    ContainsSubstring("hwloc cannot read no/such.xml"));
}

TEST_CASE("this machine can be read") {
  const auto machine = MachineTopology::of_this_machine();
  CHECK(machine.num_numa_nodes() >= 1);
  CHECK(machine.numa_node_of("ffff:ff:1f.7") == -1);
}

TEST_CASE("a process that is not bound can be bound to a NUMA node's cores") {
  const KeptBinding kept;
  if (!kept.has_two_cores()) {
    WARN("this needs cores 0 and 1");
    return;
  }
  auto machine = MachineTopology::from_xml(machine_file("two_sockets"), true);
  bind_thread({0, 1});
  CHECK(machine.bound_numa_nodes().empty());
  CHECK(machine.bind_to(1).empty());  // there is no node 1
  CHECK(machine.bind_to(-1).empty());
  CHECK(cores_of_thread() == std::vector<int>{0, 1});
  CHECK(machine.bind_to(2) == "1");
  CHECK(cores_of_thread() == std::vector<int>{1});
  CHECK(machine.bound_numa_nodes() == std::vector<int>{2});
}

TEST_CASE("a process that is bound stays so, and so does one with a single NUMA node") {
  const KeptBinding kept;
  if (!kept.has_two_cores()) {
    WARN("this needs cores 0 and 1");
    return;
  }
  auto machine = MachineTopology::from_xml(machine_file("two_sockets"), true);
  bind_thread({0});
  CHECK(machine.bound_numa_nodes() == std::vector<int>{0});
  CHECK(machine.bind_to(2).empty());
  CHECK(cores_of_thread() == std::vector<int>{0});

  bind_thread({0, 1});
  auto single = MachineTopology::from_xml(machine_file("ethernet_only"), true);
  CHECK(single.bound_numa_nodes().empty());
  CHECK(single.bind_to(0).empty());
  CHECK(cores_of_thread() == std::vector<int>{0, 1});
}
