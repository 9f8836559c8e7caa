#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workloads W0 to W6 from docs/workloads.md alone, for the known answers of the C++ tests.

Nothing here is shared with the C++ code. Prints the C++ initialisers that
tests/benchmarks/workload_known_answers.hpp holds (then formatted by clang-format):

    python3 tests/reference/workloads_reference.py
"""

import struct

from hash_router_reference import xxh64

TOKEN_ORDER, TURN, EXPERT_ORDER, RANK_ORDER = 1, 2, 3, 4
STEPS = 5


class Workload:
    def __init__(self, name, ranks, tokens, experts, top_k, seed):
        self.name, self.ranks, self.tokens = name, ranks, tokens
        self.experts, self.top_k, self.seed = experts, top_k, seed

    def draw(self, *words):
        return xxh64(struct.pack("<4q", *words), self.seed)

    def shuffled(self, values, draw, a=0, b=0):
        values = list(values)
        for i in range(len(values) - 1, 0, -1):
            j = self.draw(draw, a, b, i) % (i + 1)
            values[i], values[j] = values[j], values[i]
        return values

    def own_experts(self, rank):
        return range(rank * self.experts // self.ranks, (rank + 1) * self.experts // self.ranks)

    def classes(self, layer):
        """(fixed, circle) of each class."""
        everyone = list(range(self.experts))
        classes = []
        if self.name == "hot_experts":
            count = max(self.top_k, -(-self.experts // 8))
            hot = [(i * self.experts // count + layer) % self.experts for i in range(count)]
            classes.append(([], hot))
        if self.name == "hot_rank":
            owner = next(r for r in range(self.ranks) if self.experts // 2 in self.own_experts(r))
            hot = list(self.own_experts(owner))
            if len(hot) >= self.top_k:
                classes.append(([], hot))
            else:
                classes.append((hot, [e for e in everyone if e not in hot]))
        if self.name == "zero_load":
            everyone = [e for r in range(0, self.ranks, 2) for e in self.own_experts(r)]
        classes.append(([], everyone))
        return [
            (fixed, self.shuffled(circle, EXPERT_ORDER, layer, c))
            for c, (fixed, circle) in enumerate(classes)
        ]

    def parts(self, step, rank):
        """(class, tokens, pinned card or None), one after the other."""
        tokens = self.tokens
        if self.name == "hot_experts":
            return [(0, tokens // 2, None), (1, tokens - tokens // 2, None)]
        if self.name == "hot_rank":
            hot = tokens * 3 // (self.ranks + 3)
            return [(0, hot, None), (1, tokens - hot, None)]
        if self.name == "ragged_source" and self.ranks > 1:
            order = self.shuffled(range(self.ranks), RANK_ORDER)
            turn = (order[rank] + step) % self.ranks
            return [(0, tokens * turn // (self.ranks - 1), None)]
        if self.name == "rotating":
            hot = tokens * 7 * self.top_k // (self.experts + 7 * self.top_k)
            card = step * self.top_k % self.experts
            return [(0, hot, card), (0, tokens - hot, None)]
        if self.name == "burst" and step % 4 != 0:
            return [(0, tokens // 8, None)]
        return [(0, tokens, None)]

    def laid_out(self, step, rank):
        """The ids of a rank's tokens before they are put in order."""
        classes = self.classes(0)
        ids = []
        for p, (c, tokens, pinned) in enumerate(self.parts(step, rank)):
            first_id = sum(len(circle) for _, circle in classes[:c])
            fixed, circle = classes[c]
            width = self.top_k - len(fixed)
            before = sum(self.parts(step, lower)[p][1] for lower in range(rank))
            for m in range(before, before + tokens):
                ids.append(first_id + (m * width % len(circle) if pinned is None else pinned))
        return ids + [-1] * (self.tokens - len(ids))

    def ids(self, step, rank):
        order = self.shuffled(range(self.tokens), TOKEN_ORDER)
        turn = self.draw(TURN, step, rank, 0) % self.tokens
        laid_out = self.laid_out(step, rank)
        return [laid_out[(order[t] + turn) % self.tokens] for t in range(self.tokens)]

    def table(self, layer):
        rows = []
        for fixed, circle in self.classes(layer):
            for card in range(len(circle)):
                given = [circle[(card + j) % len(circle)] for j in range(self.top_k - len(fixed))]
                rows.append(fixed + given)
        return rows


def digest(values):
    return xxh64(struct.pack(f"<{len(values)}i", *values))


def main():
    kinds = ("balanced", "hot_experts", "hot_rank", "ragged_source", "zero_load", "rotating", "burst")
    for kind in kinds:
        for shape in ((1, 50, 8, 1, 1), (3, 37, 10, 2, 1), (4, 16, 5, 2, 2**64 - 1), (2, 64, 16, 6, 7)):
            workload = Workload(kind, *shape)
            ids = [i for s in range(STEPS) for r in range(shape[0]) for i in workload.ids(s, r)]
            table = [e for layer in range(2) for row in workload.table(layer) for e in row]
            ranks, tokens, experts, top_k, seed = shape
            print(
                f"{{{{WorkloadKind::{kind}, {ranks}, {tokens}, {experts}, {top_k}, {seed}u}}, "
                f"{digest(ids)}u, {digest(table)}u}},"
            )


if __name__ == "__main__":
    main()
