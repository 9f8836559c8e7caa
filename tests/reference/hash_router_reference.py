#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hash routing from the texts alone, for the known answers of the C++ tests.

XXH64 is written from its specification (xxHash, doc/xxhash_spec.md) and routing from docs/design.md;
nothing here is shared with the C++ code or with the xxHash library. Prints the C++ initialisers
that tests/runtime/routing/hash_router_known_answers.hpp holds (then formatted by clang-format):

    python3 tests/reference/hash_router_reference.py
"""

import struct

MASK = (1 << 64) - 1
PRIME1 = 0x9E3779B185EBCA87
PRIME2 = 0xC2B2AE3D27D4EB4F
PRIME3 = 0x165667B19E3779F9
PRIME4 = 0x85EBCA77C2B2AE63
PRIME5 = 0x27D4EB2F165667C5


def rotate_left(value, bits):
    return ((value << bits) | (value >> (64 - bits))) & MASK


def mix(accumulator, lane):
    return rotate_left((accumulator + lane * PRIME2) & MASK, 31) * PRIME1 & MASK


def xxh64(data, seed=0):
    rest = memoryview(data)
    if len(data) < 32:
        accumulator = (seed + PRIME5) & MASK
    else:
        lanes = [seed + PRIME1 + PRIME2, seed + PRIME2, seed, seed - PRIME1]
        while len(rest) >= 32:
            words = struct.unpack("<4Q", rest[:32])
            lanes = [mix(lane & MASK, word) for lane, word in zip(lanes, words)]
            rest = rest[32:]
        accumulator = sum(map(rotate_left, lanes, (1, 7, 12, 18))) & MASK
        for lane in lanes:
            accumulator = ((accumulator ^ mix(0, lane)) * PRIME1 + PRIME4) & MASK
    accumulator = (accumulator + len(data)) & MASK
    while len(rest) >= 8:
        accumulator ^= mix(0, struct.unpack("<Q", rest[:8])[0])
        accumulator = (rotate_left(accumulator, 27) * PRIME1 + PRIME4) & MASK
        rest = rest[8:]
    if len(rest) >= 4:
        accumulator ^= struct.unpack("<I", rest[:4])[0] * PRIME1 & MASK
        accumulator = (rotate_left(accumulator, 23) * PRIME2 + PRIME3) & MASK
        rest = rest[4:]
    for byte in rest:
        accumulator ^= byte * PRIME5 & MASK
        accumulator = rotate_left(accumulator, 11) * PRIME1 & MASK
    accumulator = (accumulator ^ accumulator >> 33) * PRIME2 & MASK
    accumulator = (accumulator ^ accumulator >> 29) * PRIME3 & MASK
    return accumulator ^ accumulator >> 32


def feature_words(feature, token_id, position, previous):
    if position == 0:
        previous = -1
    return {
        "token": [token_id],
        "position": [position],
        "previous": [previous],
        "bigram": [previous, token_id],
    }[feature]


def route(feature, seed, num_experts, top_k, ids, first_index, previous, seq_len):
    """The experts of each token of a batch, in order of choice; -1 for padding."""
    experts = []
    for i, token_id in enumerate(ids):
        words = feature_words(feature, token_id, (first_index + i) % seq_len, previous)
        previous = token_id
        chosen = []
        for choice in range(top_k):
            message = struct.pack(f"<{len(words) + 1}q", *words, choice)
            expert = xxh64(message, seed) % num_experts
            while expert in chosen:
                expert = (expert + 1) % num_experts
            chosen.append(expert)
        experts += [-1] * top_k if token_id == -1 else chosen
    return experts


def spread_row(position, seed, num_rows):
    """Which of its rows a spread id takes at a position of its sequence."""
    return xxh64(struct.pack("<q", position), seed) % num_rows


def print_spread_rows():
    """The initialisers of tests/runtime/routing/spread_rows_test.cpp."""
    for position in (0, 1, 2, 7, 1023, 4096, 131071, 2**40):
        for seed, num_rows in ((0, 1), (0, 2), (1, 3), (2, 8), (60, 1000), (2**64 - 1, 7)):
            print(f"{{{position}, {seed}u, {num_rows}, {spread_row(position, seed, num_rows)}}},")


def main():
    assert xxh64(b"") == 0xEF46DB3751D8E999  # the specification's own value
    # Starts inside a sequence and has two more starts (batch indices 5 and 12), padding at a start
    # and as a previous id, repeated ids, and the last id of the vocabulary.
    ids = [5, 5, 129279, 0, 17, -1, 42, 42, 7, -1, -1, 100000, 5, 17]
    batch = {"ids": ids, "first_index": 9, "previous": 3, "seq_len": 7}
    for feature in ("token", "position", "previous", "bigram"):
        for seed, num_experts, top_k in ((0, 10, 1), (7, 256, 6), (2**64 - 1, 7, 6), (123, 6, 6)):
            experts = route(feature, seed, num_experts, top_k, **batch)
            values = ", ".join(map(str, experts))
            print(f"{{HashFeature::{feature}, {seed}u, {num_experts}, {top_k}, {{{values}}}}},")
    print_spread_rows()


if __name__ == "__main__":
    main()
