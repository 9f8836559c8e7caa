// SPDX-License-Identifier: Apache-2.0
#include <simgrid/s4u/Actor.hpp>
#include <simgrid/s4u/Host.hpp>
#include <string>

#include "comm/exchange/local_work.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

/// A property that the platform file gives every host.
double host_property(const char* name) {
  const char* text = simgrid::s4u::this_actor::get_host()->get_property(name);
  if (text == nullptr) {
    throw RunError(std::string("the platform's hosts have no property '") + name + "'");
  }
  return std::stod(text);
}

// The machine's bandwidth counts what is read and what is written.
double copy_time(double bytes) {
  return 2.0 * bytes / host_property("copy_bytes_per_s");
}
double node_time(double bytes) {
  return bytes / host_property("node_bytes_per_s");
}

void pass(double seconds) {
  if (seconds > 0.0) simgrid::s4u::this_actor::sleep_for(seconds);
}

}  // namespace

void pass_copy(int64_t rows, int64_t row_bytes) {
  pass(copy_time(static_cast<double>(rows * row_bytes)));
}

void pass_node_rows(const ExchangePlan& plan, const NodeMap& nodes, int64_t row_bytes) {
  int64_t others = 0;
  for (const int32_t rank : nodes.ranks_of(nodes.node_of(plan.ep_rank))) {
    if (rank != plan.ep_rank) others += plan.send_counts[static_cast<size_t>(rank)];
  }
  const int64_t own = plan.send_counts[static_cast<size_t>(plan.ep_rank)];
  pass(host_property("node_latency_s") + copy_time(static_cast<double>(own * row_bytes)) +
       node_time(static_cast<double>(others * row_bytes)));
}

void pass_spread_rows(int64_t rows, int64_t row_bytes) {
  const double ranks = host_property("ranks_per_node");
  const auto bytes = static_cast<double>(rows * row_bytes);
  pass(copy_time(bytes / ranks) + node_time(bytes * (ranks - 1.0) / ranks));
}

}  // namespace hashep
