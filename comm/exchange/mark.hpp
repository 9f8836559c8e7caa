// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep {

/// What the ranks of a node tell each other of an exchange, in its order.
enum class Mark {
  near_landed,   // this rank's own rows stand in the buffers of its node
  landed,        // and so do those it takes in from other nodes
  far_computed,  // this rank's expert outputs for rows of other nodes stand in its buffer
  computed,      // and so do all others
  fetched,       // this rank has read all it needs of other ranks' buffers
};
inline constexpr int kNumMarks = 5;

}  // namespace hashep
