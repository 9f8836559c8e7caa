#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a run with --weight-memory must have read, by a simulation of its own: routing from the folder's
tables, slots by Belady's rule.

    tests/reference/streamed_loads.py MODEL TOKENS RESULT.json --batch-tokens N --steps N --plan-depth N

Ends with 1 where the run's numbers are others.
"""

import argparse
import json
import sys

import numpy as np

from moe_reference import Folder

BLOCK = 4096  # bytes, of direct reads


def batches_of(tokens, batch_tokens, steps):
    at = np.arange(steps * batch_tokens) % len(tokens)
    return tokens[at].reshape(steps, batch_tokens)


def uses_of(folder, batches, experts):
    """[steps] lists of (layer, expert) of `experts`, in the order in which a rank computes them."""
    tables = [folder.integers(f"layers.{layer}.ffn.gate.tid2eid")
              for layer in range(folder.config["num_hash_layers"])]
    return [[(layer, int(expert)) for layer, table in enumerate(tables)
             for expert in np.unique(table[ids[ids >= 0]]) if expert in experts] for ids in batches]


def bytes_of(folder, layer, expert):
    """Whole blocks that an expert's tensors are in."""
    blocks = set()
    for matrix in ("w1", "w2", "w3"):
        for kind in ("weight", "scale"):
            name = f"layers.{layer}.ffn.experts.{expert}.{matrix}.{kind}"
            if folder.prefix + name not in folder.file_of:
                continue
            file, name = folder.place(name)
            first, end = (file.begin + offset for offset in file.header[name]["data_offsets"])
            blocks |= {(file.path, block) for block in range(first // BLOCK, -(-end // BLOCK))}
    return len(blocks) * BLOCK


def belady(uses, slots, lookahead=None, depth=None):
    """The loads, as (layer, expert), of batches. Without lookahead all is known from the beginning; with it,
    before step s the batches up to s + depth - 1 are, and a batch is decided when `lookahead` more are known, or
    when it is reached.
    """
    if lookahead is None:
        lookahead, depth = 0, len(uses)
        uses = [[use for batch in uses for use in batch]]
    held, last_use, loads = [], {}, []
    now = decided = known = 0

    def decide(batch):
        nonlocal now
        future = [use for later in uses[batch + 1 : known] for use in later]
        for i, use in enumerate(uses[batch]):
            coming = uses[batch][i + 1 :] + future
            if use not in held:
                loads.append(use)
                if len(held) == slots:
                    next_use = [coming.index(each) if each in coming else len(coming) for each in held]
                    furthest = max(next_use)
                    held.remove(min((each for each, at in zip(held, next_use) if at == furthest),
                                    key=last_use.get))
                held.append(use)
            last_use[use] = now
            now += 1

    for step in range(len(uses)):
        while known < min(len(uses), step + max(depth, 1)):
            known += 1
            while known - decided > lookahead:
                decide(decided)
                decided += 1
        while decided <= step:
            decide(decided)
            decided += 1
    return loads


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("tokens")
    parser.add_argument("result")
    parser.add_argument("--batch-tokens", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--plan-depth", type=int, required=True)
    options = parser.parse_args()
    folder = Folder(options.model)
    with open(options.result, encoding="utf-8") as file:
        result = json.load(file)
    batches = batches_of(np.fromfile(options.tokens, np.int32), options.batch_tokens, options.steps)
    ranks, count = result["ranks"], folder.config["n_routed_experts"]
    expected = {"uses": 0, "loads": 0, "bytes_read": 0, "least_loads": 0}
    for rank in range(ranks):
        own = range(rank * count // ranks, (rank + 1) * count // ranks)
        uses = uses_of(folder, batches, own)
        slots = min(result["streaming"]["slots"], len(own) * folder.config["num_hash_layers"])
        loads = belady(uses, slots, options.plan_depth // 2, options.plan_depth)
        expected["uses"] += sum(map(len, uses))
        expected["loads"] += len(loads)
        expected["bytes_read"] += sum(bytes_of(folder, *load) for load in loads)
        expected["least_loads"] += len(belady(uses, slots))
    found = {name: result["streaming"][name] for name in expected}
    print(f"{ranks} ranks, {result['streaming']['slots']} slots, plan depth {options.plan_depth}: {found}")
    if found != expected:
        print(f"expected {expected}")
    return 0 if found == expected else 1


if __name__ == "__main__":
    sys.exit(main())
