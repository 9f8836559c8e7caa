// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep {

/// Bytes of memory this process has had resident at most.
long long peak_rss_bytes();

}  // namespace hashep
