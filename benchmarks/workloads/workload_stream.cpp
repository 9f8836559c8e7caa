// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/workloads/workload_stream.hpp"

#include <algorithm>
#include <utility>

#include "benchmarks/workloads/keyed_shuffle.hpp"

namespace hashep::bench {
namespace {

/// Pure in the index, as all streams are: what is kept is the order of a rank's tokens, which is
/// the same for all ranks and steps but for where it begins.
class RuleStream final : public TokenStream {
 public:
  explicit RuleStream(const WorkloadRules& rules)
      : rules_(rules),
        order_(keyed_order(rules.shape().seed, Draw::token_order, rules.shape().tokens_per_rank)) {
    const std::vector<int32_t> first = first_ids(rules);
    for (const ExpertClass& experts : rules.classes(0)) {
      circles_.push_back(
          {.first_id = first[circles_.size()],
           .cards = static_cast<int64_t>(experts.circle.size()),
           .width = rules.shape().top_k - static_cast<int64_t>(experts.fixed.size())});
    }
  }

  void read(int64_t first, std::span<int32_t> out) const override {
    const int64_t tokens = rules_.shape().tokens_per_rank;
    const int64_t ranks = rules_.shape().ep_size;
    while (!out.empty()) {
      const int64_t batch = first / tokens;  // of one rank, counted across steps
      const int64_t begin = first % tokens;
      const auto count = std::min(static_cast<size_t>(tokens - begin), out.size());
      read_batch_of_rank(batch / ranks, static_cast<int>(batch % ranks), begin, out.first(count));
      first += static_cast<int64_t>(count);
      out = out.subspan(count);
    }
  }

  std::optional<int64_t> size() const override { return std::nullopt; }

 private:
  /// How the cards of a class go round: `width` experts further with each.
  struct Circle {
    int32_t first_id = 0;
    int64_t cards = 1;
    int64_t width = 1;
  };

  /// A part of the rank's tokens, laid out one after the other before they are put in order.
  struct LaidOutPart {
    int64_t end = 0;    // of its tokens, the parts before it included
    int64_t place = 0;  // in the circle, of the token at 0, were it of this part
    int64_t pace = 0;   // places from a token to the next one
    Circle circle;
  };

  LaidOutPart lay_out(int64_t step, int rank, size_t index, int64_t begin) const {
    const TokenPart part = rules_.parts(step, rank)[index];
    const Circle& circle = circles_[part.expert_class];
    LaidOutPart laid_out{.end = begin + part.tokens, .place = part.pinned, .circle = circle};
    if (part.pinned != TokenPart::kInTurn) return laid_out;
    int64_t before = 0;  // tokens of this part on lower ranks
    for (int lower = 0; lower < rank; ++lower) before += rules_.parts(step, lower)[index].tokens;
    laid_out.pace = circle.width;
    laid_out.place = (before - begin) * circle.width;
    return laid_out;
  }

  void read_batch_of_rank(int64_t step, int rank, int64_t begin, std::span<int32_t> out) const {
    const auto tokens = static_cast<int64_t>(order_.size());
    const auto turn = static_cast<int64_t>(
        keyed_hash(rules_.shape().seed, Draw::turn, step, rank, 0) % static_cast<uint64_t>(tokens));
    const LaidOutPart first = lay_out(step, rank, 0, 0);
    const LaidOutPart second = lay_out(step, rank, 1, first.end);
    const int32_t* order = order_.data() + begin;
    for (int32_t& id : out) {
      int64_t at = *order++ + turn;
      if (at >= tokens) at -= tokens;
      if (at >= second.end) {
        id = kPaddingId;
        continue;
      }
      const LaidOutPart& part = at < first.end ? first : second;
      id = part.circle.first_id +
           static_cast<int32_t>((part.place + at * part.pace) % part.circle.cards);
    }
  }

  WorkloadRules rules_;
  std::vector<int32_t> order_;   // [tokens_per_rank]
  std::vector<Circle> circles_;  // by class
};

}  // namespace

std::unique_ptr<TokenStream> make_workload_stream(const WorkloadRules& rules) {
  return std::make_unique<RuleStream>(rules);
}

}  // namespace hashep::bench
