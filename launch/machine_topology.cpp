// SPDX-License-Identifier: Apache-2.0
#include "launch/machine_topology.hpp"

#include <hwloc.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>

#include "core/narrow.hpp"
#include "hashep/error.hpp"

static_assert(HWLOC_API_VERSION >= 0x00020000, "HashEP needs hwloc 2");

namespace hashep {
namespace {

/// Parts of hwloc that would ask libraries of GPUs for names (and start these GPUs), or
/// libpciaccess, which loses its memory of vendors' names: what is asked for here, Linux tells
/// hwloc itself.
constexpr std::array kUnusedComponents{"opencl", "gl", "cuda", "nvml", "rsmi", "levelzero", "pci"};

struct FreeBitmap {
  void operator()(hwloc_bitmap_s* bitmap) const { hwloc_bitmap_free(bitmap); }
};
using Bitmap = std::unique_ptr<hwloc_bitmap_s, FreeBitmap>;

std::vector<hwloc_obj_t> objects_of(hwloc_topology_t topology, hwloc_obj_type_t type) {
  std::vector<hwloc_obj_t> objects;
  for (hwloc_obj_t object = nullptr;
       (object = hwloc_get_next_obj_by_type(topology, type, object)) != nullptr;) {
    objects.push_back(object);
  }
  return objects;
}

/// NUMA nodes, the first of those that have the same cores: others there are memory alone, of a GPU
/// or an expander.
std::vector<hwloc_obj_t> numa_nodes(hwloc_topology_t topology) {
  std::vector<hwloc_obj_t> nodes;
  for (const hwloc_obj_t node : objects_of(topology, HWLOC_OBJ_NUMANODE)) {
    const bool is_known = std::any_of(nodes.begin(), nodes.end(), [node](hwloc_obj_t other) {
      return hwloc_bitmap_isequal(node->cpuset, other->cpuset) != 0;
    });
    if (hwloc_bitmap_iszero(node->cpuset) == 0 && !is_known) nodes.push_back(node);
  }
  return nodes;
}

/// The way from the machine down to an object, both included.
std::vector<hwloc_obj_t> way_to(hwloc_obj_t object) {
  std::vector<hwloc_obj_t> way;
  for (; object != nullptr; object = object->parent) way.push_back(object);
  std::reverse(way.begin(), way.end());
  return way;
}

std::ptrdiff_t common_steps(hwloc_obj_t a, hwloc_obj_t b) {
  const std::vector<hwloc_obj_t> way_a = way_to(a);
  const std::vector<hwloc_obj_t> way_b = way_to(b);
  return std::mismatch(way_a.begin(), way_a.end(), way_b.begin(), way_b.end()).first -
         way_a.begin();
}

/// Whether a port of an InfiniBand or RoCE interface is active, or none tells its state.
bool has_active_port(hwloc_obj_t nic) {
  constexpr std::string_view kActive = "4";  // of enum ibv_port_state
  bool is_told = false;
  for (unsigned i = 0; i < nic->infos_count; ++i) {
    const std::string_view name = nic->infos[i].name;
    if (!name.starts_with("Port") || !name.ends_with("State")) continue;
    is_told = true;
    if (nic->infos[i].value == kActive) return true;
  }
  return !is_told;
}

/// Whether Linux does not say that an interface of this machine is down.
bool may_be_up(hwloc_topology_t topology, hwloc_obj_t nic) {
  if (hwloc_topology_is_thissystem(topology) == 0) return true;
  std::ifstream file("/sys/class/net/" + std::string(nic->name) + "/operstate");
  std::string state;
  return !(file >> state) || state != "down";
}

std::vector<hwloc_obj_t> usable_nics(hwloc_topology_t topology, hwloc_obj_osdev_type_t type) {
  std::vector<hwloc_obj_t> nics = objects_of(topology, HWLOC_OBJ_OS_DEVICE);
  std::erase_if(nics, [&](hwloc_obj_t nic) {
    if (nic->attr->osdev.type != type || nic->name == nullptr) return true;
    return type == HWLOC_OBJ_OSDEV_OPENFABRICS ? !has_active_port(nic) : !may_be_up(topology, nic);
  });
  return nics;
}

/// Null where hwloc knows of no such device.
hwloc_obj_t find_device(hwloc_topology_t topology, const std::string& pci_id) {
  return hwloc_get_pcidev_by_busidstring(topology, pci_id.c_str());
}

/// The cores that the calling thread may run on; null where that cannot be told.
Bitmap thread_binding(hwloc_topology_t topology) {
  Bitmap cores(hwloc_bitmap_alloc());
  if (cores == nullptr || hwloc_get_cpubind(topology, cores.get(), HWLOC_CPUBIND_THREAD) != 0) {
    return nullptr;
  }
  return cores;
}

std::string list_text(hwloc_const_bitmap_t bitmap) {
  std::array<char, 256> text{};
  hwloc_bitmap_list_snprintf(text.data(), text.size(), bitmap);
  return text.data();
}

}  // namespace

void MachineTopology::Destroy::operator()(hwloc_topology* topology) const {
  hwloc_topology_destroy(topology);
}

MachineTopology MachineTopology::load(const std::string& xml_path, bool is_this_machine) {
  const std::string what = xml_path.empty() ? "this machine" : xml_path;
  const auto require = [&](int code) {
    if (code != 0) {
      throw InputError("hwloc cannot read " + what + ": " + std::strerror(errno));
    }
  };
  MachineTopology machine;
  hwloc_topology_t topology = nullptr;
  require(hwloc_topology_init(&topology));
  machine.topology_.reset(topology);
  // Refused where this hwloc has no such part.
  for (const char* component : kUnusedComponents) {
    (void)hwloc_topology_set_components(topology, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST,
                                        component);
  }
  if (!xml_path.empty()) require(hwloc_topology_set_xml(topology, xml_path.c_str()));
  // With the cores that this job may not use: devices near to them would else seem to be elsewhere.
  unsigned long flags = HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED;
  if (is_this_machine) flags |= HWLOC_TOPOLOGY_FLAG_IS_THISSYSTEM;
  require(hwloc_topology_set_flags(topology, flags));
  require(hwloc_topology_set_io_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_IMPORTANT));
  require(hwloc_topology_load(topology));
  return machine;
}

MachineTopology MachineTopology::of_this_machine() {
  return load("", false);
}

MachineTopology MachineTopology::from_xml(const std::string& path, bool is_this_machine) {
  return load(path, is_this_machine);
}

int MachineTopology::num_numa_nodes() const {
  return static_cast<int>(numa_nodes(topology_.get()).size());
}

int MachineTopology::numa_node_of(const std::string& pci_id) const {
  const hwloc_obj_t device = find_device(topology_.get(), pci_id);
  if (device == nullptr) return -1;
  const hwloc_obj_t place = hwloc_get_non_io_ancestor_obj(topology_.get(), device);
  if (place == nullptr) return -1;
  for (const hwloc_obj_t node : numa_nodes(topology_.get())) {
    if (hwloc_bitmap_isincluded(place->cpuset, node->cpuset) != 0) {
      return narrow<int>(node->os_index, "NUMA node");
    }
  }
  return -1;
}

std::string MachineTopology::nearest_nic(const std::string& pci_id) const {
  const hwloc_obj_t device = find_device(topology_.get(), pci_id);
  if (device == nullptr) return "";
  for (const auto type : {HWLOC_OBJ_OSDEV_OPENFABRICS, HWLOC_OBJ_OSDEV_NETWORK}) {
    const std::vector<hwloc_obj_t> nics = usable_nics(topology_.get(), type);
    const auto nearest =
        std::max_element(nics.begin(), nics.end(), [&](hwloc_obj_t a, hwloc_obj_t b) {
          return common_steps(device, a) < common_steps(device, b);
        });
    if (nearest != nics.end()) return (*nearest)->name;
  }
  return "";
}

std::vector<int> MachineTopology::bound_numa_nodes() const {
  const Bitmap cores = thread_binding(topology_.get());
  if (cores == nullptr) return {};
  const std::vector<hwloc_obj_t> all = numa_nodes(topology_.get());
  std::vector<int> nodes;
  for (const hwloc_obj_t node : all) {
    if (hwloc_bitmap_intersects(node->cpuset, cores.get()) != 0) {
      nodes.push_back(narrow<int>(node->os_index, "NUMA node"));
    }
  }
  if (nodes.size() == all.size()) nodes.clear();
  return nodes;
}

std::string MachineTopology::bind_to(int numa_node) {
  if (hwloc_topology_is_thissystem(topology_.get()) == 0) return "";
  const Bitmap cores = thread_binding(topology_.get());
  const hwloc_const_bitmap_t allowed = hwloc_topology_get_allowed_cpuset(topology_.get());
  // A launcher that has bound the process knows better.
  if (cores == nullptr || hwloc_bitmap_isincluded(allowed, cores.get()) == 0) return "";
  for (const hwloc_obj_t node : numa_nodes(topology_.get())) {
    if (narrow<int>(node->os_index, "NUMA node") != numa_node) continue;
    const Bitmap target(hwloc_bitmap_dup(node->cpuset));
    if (target == nullptr) return "";
    hwloc_bitmap_and(target.get(), target.get(), allowed);
    if (hwloc_bitmap_iszero(target.get()) != 0) return "";
    if (hwloc_bitmap_isequal(target.get(), allowed) != 0) return "";
    // A container may forbid it: then all stays as it is.
    if (hwloc_set_cpubind(topology_.get(), target.get(), HWLOC_CPUBIND_THREAD) != 0) return "";
    return list_text(target.get());
  }
  return "";
}

}  // namespace hashep
