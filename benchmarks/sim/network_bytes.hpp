// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep::bench {

/// Bytes that the simulator has carried out of the ranks' network interfaces (links "nic-up-N" of
/// platform.py), whatever sent them. For one rank alone, between barriers.
class NetworkBytes {
 public:
  /// From now on. `ranks`: how many interfaces there are.
  explicit NetworkBytes(int ranks);
  /// Since the last call, or since it was made.
  double take();

 private:
  double total() const;

  int ranks_;
  double taken_;
};

}  // namespace hashep::bench
