// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep {

/// How far a rank is with an exchange, as the ranks of a node tell each other: by flags in shared
/// memory (NodeFlags) or in GPU memory (PeerSignals).
enum class ExchangeStage {
  near_landed,   // this rank's own rows stand in the buffers of its node
  landed,        // and so do those it takes in from other nodes
  far_computed,  // this rank's expert outputs for rows of other nodes stand in its buffer
  computed,      // and so do all others
  fetched,       // this rank has read all it needs of other ranks' buffers
};
inline constexpr int kNumExchangeStages = 5;

/// What a rank has not done that is not at a stage, for errors: ", waiting for rank 3's rows".
inline const char* what_is_missing(ExchangeStage stage) {
  switch (stage) {
    case ExchangeStage::near_landed:
    case ExchangeStage::landed:
      return "'s rows";
    case ExchangeStage::far_computed:
    case ExchangeStage::computed:
      return "'s experts";
    case ExchangeStage::fetched:
      break;
  }
  return " to fetch its results";
}

}  // namespace hashep
