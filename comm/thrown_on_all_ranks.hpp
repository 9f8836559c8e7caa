// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep {

/// Base of errors that are thrown on all ranks alike. While one of them unwinds, collective calls
/// that free what ranks share find all ranks there; while another error does, others may never come
/// to the call.
class ThrownOnAllRanks {
 public:
  ThrownOnAllRanks() noexcept;
  ThrownOnAllRanks(const ThrownOnAllRanks&) noexcept;
  ThrownOnAllRanks& operator=(const ThrownOnAllRanks&) noexcept = default;
  virtual ~ThrownOnAllRanks();
};

/// Whether an error unwinds this thread that is not known to unwind all ranks. For destructors.
bool unwinds_alone() noexcept;

/// While it lives, unwinds_alone() says `alone`: for code that has found it out by other means.
class UnwindsAloneScope {
 public:
  explicit UnwindsAloneScope(bool alone) noexcept;
  ~UnwindsAloneScope();
  UnwindsAloneScope(const UnwindsAloneScope&) = delete;
  UnwindsAloneScope& operator=(const UnwindsAloneScope&) = delete;

 private:
  const bool* outer_;
  bool alone_;
};

}  // namespace hashep
