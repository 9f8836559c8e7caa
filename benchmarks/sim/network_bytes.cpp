// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/sim/network_bytes.hpp"

#include <simgrid/plugins/load.h>

#include <simgrid/s4u/Link.hpp>
#include <string>
#include <utility>

namespace hashep::bench {
namespace {

const simgrid::s4u::Link* interface_of(int rank) {
  return simgrid::s4u::Link::by_name("nic-up-" + std::to_string(rank));
}

}  // namespace

NetworkBytes::NetworkBytes(int ranks) : ranks_(ranks), taken_(0.0) {
  for (int rank = 0; rank < ranks; ++rank) sg_link_load_track(interface_of(rank));
}

double NetworkBytes::total() const {
  double bytes = 0.0;
  for (int rank = 0; rank < ranks_; ++rank) bytes += sg_link_get_cum_load(interface_of(rank));
  return bytes;
}

double NetworkBytes::take() {
  const double now = total();
  return now - std::exchange(taken_, now);
}

}  // namespace hashep::bench
