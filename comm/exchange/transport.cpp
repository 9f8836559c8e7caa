// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/transport.hpp"

namespace hashep {

// A transport that does not overlap: begin_dispatch is all of dispatch.

bool Transport::overlaps(const ExchangePlan&) const {
  return false;
}

MatrixView Transport::begin_dispatch(const ExchangePlan& plan, ConstMatrixView x) {
  return dispatch(plan, x);
}

bool Transport::poll_dispatch(const ExchangePlan&) {
  return true;
}

void Transport::finish_dispatch(const ExchangePlan&) {}

void Transport::begin_combine(const ExchangePlan&, std::span<const float>) {}

void Transport::poll_combine(const ExchangePlan&) {}

}  // namespace hashep
