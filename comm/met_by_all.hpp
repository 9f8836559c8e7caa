// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep {

/// Base of errors that are thrown on all ranks alike. While one of them unwinds, collective calls
/// that free what ranks share find all ranks there; while another error does, others may never come
/// to the call.
class MetByAll {
 public:
  MetByAll() noexcept;
  MetByAll(const MetByAll&) noexcept;
  MetByAll& operator=(const MetByAll&) noexcept = default;
  virtual ~MetByAll();
};

/// Whether an error unwinds this thread that is not known to unwind all ranks. For destructors.
bool unwinds_alone() noexcept;

/// While it lives, unwinds_alone() says what it was told: for who has found out by other means.
class KnowsWhoLeaves {
 public:
  explicit KnowsWhoLeaves(bool alone) noexcept;
  ~KnowsWhoLeaves();
  KnowsWhoLeaves(const KnowsWhoLeaves&) = delete;
  KnowsWhoLeaves& operator=(const KnowsWhoLeaves&) = delete;

 private:
  const bool* outer_;
  bool alone_;
};

}  // namespace hashep
