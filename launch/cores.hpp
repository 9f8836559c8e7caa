// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep {

/// Threads for a rank unless told: cores of the node / ranks on the node, but no more than the
/// cores this process is bound to, and at least 1.
int default_threads(int ranks_on_node);

/// Bytes of memory this process has had resident at most.
long long peak_rss_bytes();

}  // namespace hashep
