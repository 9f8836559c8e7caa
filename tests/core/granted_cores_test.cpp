// SPDX-License-Identifier: Apache-2.0
#include "core/granted_cores.hpp"

#include <sched.h>

#include <filesystem>
#include <fstream>

#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

using namespace hashep;

namespace {

/// A made-up /proc and /sys/fs/cgroup.
class Machine {
 public:
  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(dir_.file(path)).parent_path());
    std::ofstream(dir_.file(path)) << text;
  }
  /// The quotas that a process finds there, without their groups.
  std::vector<double> quotas() const {
    std::vector<double> cores;
    for (const CpuQuota& quota : cpu_quotas(dir_.path().string())) cores.push_back(quota.cores);
    return cores;
  }
  std::string root() const { return dir_.path().string(); }

 private:
  test::TempDir dir_;
};

using Cores = std::vector<double>;

constexpr const char* kMountV2 =
    "25 30 0:22 / /proc rw,nosuid - proc proc rw\n"
    "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

CoreGrant grant(std::vector<int> cores, std::vector<CpuQuota> quotas = {}) {
  return {std::move(cores), std::move(quotas)};
}

}  // namespace

TEST_CASE("quotas of control groups of version 2, of all groups around") {
  const Machine machine;
  machine.write("proc/self/mountinfo", kMountV2);
  machine.write("proc/self/cgroup", "0::/pod/job\n");
  CHECK(machine.quotas().empty());
  machine.write("sys/fs/cgroup/pod/job/cpu.max", "max 100000\n");
  CHECK(machine.quotas().empty());
  machine.write("sys/fs/cgroup/pod/cpu.max", "150000 100000\n");
  CHECK(machine.quotas() == Cores{1.5});
  machine.write("sys/fs/cgroup/pod/job/cpu.max", "800000 200000\n");
  CHECK(machine.quotas() == Cores{4.0, 1.5});
  const auto quotas = cpu_quotas(machine.root());
  CHECK(quotas[0].group != quotas[1].group);
}

TEST_CASE("in a container the group is the top of what is mounted") {
  const Machine machine;
  machine.write("proc/self/mountinfo", kMountV2);
  machine.write("sys/fs/cgroup/cpu.max", "200000 100000\n");
  for (const char* group : {"0::/\n", "0::/../elsewhere\n"}) {
    machine.write("proc/self/cgroup", group);
    CHECK(machine.quotas() == Cores{2.0});
  }
  // Without a namespace of groups /proc names it as the host does, and only it is mounted.
  machine.write("proc/self/mountinfo",
                "35 24 0:30 /docker/1f2e /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
  machine.write("proc/self/cgroup", "0::/docker/1f2e\n");
  CHECK(machine.quotas() == Cores{2.0});
  machine.write("proc/self/cgroup", "0::/docker/1f2e/inner\n");
  machine.write("sys/fs/cgroup/inner/cpu.max", "50000 100000\n");
  CHECK(machine.quotas() == Cores{0.5, 2.0});
  machine.write("proc/self/cgroup", "0::/docker/1f2e5\n");  // another group
  CHECK(machine.quotas() == Cores{2.0});
}

TEST_CASE("quotas of control groups of version 1, and of both at once") {
  const Machine machine;
  machine.write("proc/self/mountinfo",
                "35 24 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
                "36 24 0:31 /docker/1f2e /sys/fs/cgroup/cpu\\040and,cpuacct ro master:11 - "
                "cgroup cgroup rw,cpu,cpuacct\n"
                "37 24 0:32 /docker/1f2e /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n");
  machine.write("proc/self/cgroup",
                "12:cpuset:/docker/1f2e\n4:cpu,cpuacct:/docker/1f2e/a\n0::/docker/1f2e\n");
  machine.write("sys/fs/cgroup/cpu and,cpuacct/cpu.cfs_quota_us", "-1\n");
  machine.write("sys/fs/cgroup/cpu and,cpuacct/cpu.cfs_period_us", "100000\n");
  CHECK(machine.quotas().empty());
  machine.write("sys/fs/cgroup/cpu and,cpuacct/cpu.cfs_quota_us", "250000\n");
  CHECK(machine.quotas() == Cores{2.5});
  machine.write("sys/fs/cgroup/unified/docker/1f2e/cpu.max", "300000 100000\n");
  CHECK(machine.quotas() == Cores{3.0, 2.5});
}

TEST_CASE("a machine that tells nothing of control groups sets no quota") {
  CHECK(cpu_quotas("/no such folder").empty());
  const Machine machine;
  machine.write("proc/self/mountinfo", "garbage\n\n- - -\n1 2 3\n");
  machine.write("proc/self/cgroup", "garbage\n::\n0:\n");
  CHECK(machine.quotas().empty());
}

TEST_CASE("the affinity mask of the calling thread is what was granted") {
  const CoreGrant before = granted_cores();
  REQUIRE_FALSE(before.cores.empty());
  cpu_set_t mask;
  CPU_ZERO(&mask);
  CPU_SET(static_cast<size_t>(before.cores.back()), &mask);
  REQUIRE(sched_setaffinity(0, sizeof(mask), &mask) == 0);
  CHECK(granted_cores().cores == std::vector<int>{before.cores.back()});
  CHECK(own_cores().threads() == 1);
  CPU_ZERO(&mask);
  for (const int core : before.cores) CPU_SET(static_cast<size_t>(core), &mask);
  REQUIRE(sched_setaffinity(0, sizeof(mask), &mask) == 0);
  CHECK(granted_cores() == before);
}

TEST_CASE("ranks that may run on the same cores share them") {
  // Two unbound ranks with 2 of 64 cores: one each, not two.
  const std::vector<CoreGrant> unbound{grant({7, 9}), grant({7, 9})};
  const CoreShare share = share_of_cores(unbound, 1);
  CHECK(share.threads() == 1);
  CHECK(share.cores == 1.0);
  CHECK(share.why == "2 cores shared by 2 ranks");

  // Bound ones have theirs for themselves, however many ranks there are.
  const std::vector<CoreGrant> bound{grant({0, 1, 2}), grant({3}), grant({4, 5})};
  CHECK(share_of_cores(bound, 0).threads() == 3);
  CHECK(share_of_cores(bound, 0).why == "3 cores");
  CHECK(share_of_cores(bound, 1).threads() == 1);
  CHECK(share_of_cores(bound, 1).why == "1 core");

  // Some of both: 2 of its own, and 2 that another uses too.
  const std::vector<CoreGrant> mixed{grant({0, 1, 2, 3}), grant({2, 3})};
  CHECK(share_of_cores(mixed, 0).threads() == 3);
  CHECK(share_of_cores(mixed, 1).cores == 1.0);

  // More ranks than cores: less than one, and still a thread. Thirds make a whole one.
  const std::vector<CoreGrant> many(5, grant({0, 1}));
  CHECK(share_of_cores(many, 4).cores < 0.5);
  CHECK(share_of_cores(many, 4).threads() == 1);
  CHECK(share_of_cores(std::vector<CoreGrant>(3, grant({0, 1, 2})), 0).threads() == 1);
  CHECK(share_of_cores(std::vector<CoreGrant>(7, grant({0, 1, 2, 3, 4, 5, 6})), 0).threads() == 1);
}

TEST_CASE("quotas are shared by the ranks under them") {
  const std::vector<int> cores{0, 1, 2, 3, 4, 5, 6, 7};
  const CpuQuota pod{1, 6.0};
  const std::vector<CoreGrant> grants{grant(cores, {{2, 2.0}, pod}), grant(cores, {{3, 5.0}, pod}),
                                      grant(cores)};
  CHECK(share_of_cores(grants, 0).threads() == 2);
  CHECK(share_of_cores(grants, 0).why == "a CPU quota of 2 cores");
  CHECK(share_of_cores(grants, 1).threads() == 2);
  CHECK(share_of_cores(grants, 1).why == "8 cores shared by 3 ranks");  // 2.67, less than 3
  const std::vector<CoreGrant> pair{grant(cores, {pod}), grant(cores, {pod})};
  CHECK(share_of_cores(pair, 0).threads() == 3);
  CHECK(share_of_cores(pair, 0).why == "a CPU quota of 6 cores shared by 2 ranks");
  const std::vector<CoreGrant> less{grant(cores, {{1, 0.25}})};
  CHECK(share_of_cores(less, 0).threads() == 1);
  CHECK(share_of_cores(less, 0).why == "a CPU quota of 0.25 cores");
}
