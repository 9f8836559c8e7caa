// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/model_config.hpp"

#include "hashep/error.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;

TEST_CASE("names are written as they are parsed") {
  for (const auto* name : {"relu", "gelu", "silu"}) {
    CHECK(activation_name(parse_activation(name)) == name);
  }
  for (const auto* name : {"none", "sqrtsoftplus"}) CHECK(score_name(parse_score(name)) == name);
  for (const auto* name : {"token", "position", "previous", "bigram", "table", "balanced"}) {
    CHECK(router_name(parse_router(name)) == name);
  }
  CHECK_THROWS_AS(parse_router(""), InputError);
}
