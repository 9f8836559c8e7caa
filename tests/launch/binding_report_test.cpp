// SPDX-License-Identifier: Apache-2.0
#include "launch/binding_report.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

GpuBinding binding(const std::string& host, int gpu) {
  return {.host = host,
          .gpu = gpu,
          .name = "NVIDIA H100 80GB HBM3",
          .pci_id = "0000:" + std::to_string(10 + gpu) + ":00.0",
          .numa_node = gpu / 2,
          .nic = "mlx5_" + std::to_string(gpu),
          .cores = {},
          .dispute = {}};
}

size_t lines_of(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

TEST_CASE("each rank has a line with host, GPU, PCI id, NUMA node and network interface") {
  std::vector<GpuBinding> bindings = {binding("a", 0), binding("a", 3), binding("b", 0)};
  CHECK(binding_lines(bindings) ==
        "rank 0: host a, GPU 0 NVIDIA H100 80GB HBM3, PCI 0000:10:00.0, NUMA node 0, NIC mlx5_0\n"
        "rank 1: host a, GPU 3 NVIDIA H100 80GB HBM3, PCI 0000:13:00.0, NUMA node 1, NIC mlx5_3\n"
        "rank 2: host b, GPU 0 NVIDIA H100 80GB HBM3, PCI 0000:10:00.0, NUMA node 0, NIC mlx5_0\n");
  bindings.resize(1);
  bindings[0].numa_node = -1;
  bindings[0].nic.clear();
  CHECK(binding_lines(bindings) ==
        "rank 0: host a, GPU 0 NVIDIA H100 80GB HBM3, PCI 0000:10:00.0, NUMA node -, NIC -\n");
  CHECK(binding_lines({}).empty());
}

TEST_CASE("beyond 64 ranks there is their number alone") {
  std::vector<GpuBinding> bindings;
  for (int rank = 0; rank < 64; ++rank) bindings.push_back(binding(std::to_string(rank), 0));
  CHECK(lines_of(binding_lines(bindings)) == 64);
  bindings.push_back(binding("more", 0));
  bindings.push_back(binding("more", 1));
  const std::string text = binding_lines(bindings);
  CHECK(lines_of(text) == 65);
  CHECK_THAT(text, ContainsSubstring("rank 63: ") && ContainsSubstring("\n... and 2 more\n"));
}

TEST_CASE("notes tell of shared GPUs, of cores that ranks were bound to, and of disputed places") {
  std::vector<GpuBinding> bindings = {binding("a", 0), binding("a", 1), binding("b", 1),
                                      binding("a", 1), binding("a", 1), binding("b", 1)};
  CHECK_THAT(binding_lines(bindings),
             ContainsSubstring("\nnote: 2 GPUs shared, by ranks 1 and 3 first: "));
  bindings = {binding("a", 0), binding("a", 1), binding("a", 2)};
  CHECK(lines_of(binding_lines(bindings)) == 3);
  bindings[1].cores = "0-15";
  bindings[2].cores = "16-31";
  CHECK_THAT(binding_lines(bindings),
             ContainsSubstring("\nnote: 2 ranks bound to cores near the GPU, rank 1 to 0-15 ("));
  bindings[1].dispute = "they disagree";
  CHECK_THAT(binding_lines(bindings), ContainsSubstring("\nnote: rank 1: they disagree\n"));
  bindings[2].dispute = "too";
  CHECK_THAT(binding_lines(bindings),
             ContainsSubstring("\nnote: rank 1: they disagree (and so for 1 more)\n"));
}

TEST_CASE("the result has an object for each rank, with null for what is not known") {
  std::vector<GpuBinding> bindings = {binding("a", 0), binding("b", 3)};
  bindings[0].numa_node = -1;
  bindings[0].nic.clear();
  bindings[1].cores = "4-7";
  const auto json = binding_json(bindings);
  REQUIRE(json.size() == 2);
  CHECK(json[0]["rank"] == 0);
  CHECK(json[0]["numa_node"].is_null());
  CHECK(json[0]["nic"].is_null());
  CHECK(json[0]["cores"].is_null());
  CHECK(json[1]["rank"] == 1);
  CHECK(json[1]["host"] == "b");
  CHECK(json[1]["gpu"] == 3);
  CHECK(json[1]["name"] == "NVIDIA H100 80GB HBM3");
  CHECK(json[1]["pci"] == "0000:13:00.0");
  CHECK(json[1]["numa_node"] == 1);
  CHECK(json[1]["nic"] == "mlx5_3");
  CHECK(json[1]["cores"] == "4-7");
}
