// SPDX-License-Identifier: Apache-2.0
// Exchanges between GPUs on the stand-in, over 1 to 4 ranks: every row in its place, and the bits
// of the exchange between CPUs.
#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/device_ways.hpp"

namespace hashep::test {
namespace {

TEST_CASE("every exchange between GPUs puts every row in its place") {
  Ranks ranks;
  for (const DeviceWay& way : device_ways()) {
    for (const auto order : {standin::Order::eager, standin::Order::lazy}) {
      INFO(way.name << (order == standin::Order::lazy ? ", lazy" : ", eager"));
      standin::reset(order);
      check_rows_in_place(ranks, way, order == standin::Order::lazy);
    }
  }
}

TEST_CASE("exchanges between GPUs give the bits of those between CPUs") {
  Ranks ranks;
  standin::reset(standin::Order::lazy);
  std::mt19937 random(23);
  for (const DeviceWay& way : device_ways()) {
    INFO(way.name);
    check_bits_of_cpus(ranks, way, random);
  }
}

}  // namespace
}  // namespace hashep::test
