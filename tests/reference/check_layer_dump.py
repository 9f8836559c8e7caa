#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_layer_dump.py DIR RANKS: what `hashep-bench layer --dump DIR` with silu wrote on RANKS ranks,
against the layer computed from it in fp64. Prints the largest error of a row; ends with 1 where it is
too large, or where ids, choices and weights do not go together."""

import os
import sys

import numpy as np

import moe_reference
import safetensors_file

BOUNDS = {"F32": 1e-5, "BF16": 1e-2}


class Dump:
    """The weights of all ranks, as Layers asks for them."""

    config = {"scoring_func": "sqrtsoftplus", "hidden_act": "silu", "swiglu_limit": 0.0,
              "routed_scaling_factor": 1.0}

    def __init__(self, folder, ranks):
        self.files = [safetensors_file.File(os.path.join(folder, f"rank-{rank}.safetensors"))
                      for rank in range(ranks)]

    def floats(self, name):
        (owner,) = [file for file in self.files if name in file.header]  # exactly one rank's
        return owner.floats(name)


def main():
    folder, ranks = sys.argv[1], int(sys.argv[2])
    dump = Dump(folder, ranks)
    dtype = dump.files[0].header["x"]["dtype"]
    layers = moe_reference.Layers(dump, "bf16" if dtype == "BF16" else "fp32")
    choices_of_id = {}
    worst = 0.0
    for file in dump.files:
        ids, experts, weights = (file.stored(name) for name in ("token_ids", "experts", "weights"))
        x, y = (file.floats(name).astype(np.float64) for name in ("x", "y"))
        if not len(ids) == len(experts) == len(weights) == len(x) == len(y) > 0:
            raise SystemExit("tensors differ in their tokens")
        for token, chosen in zip(ids, experts):
            if not np.array_equal(choices_of_id.setdefault(int(token), chosen), chosen):
                raise SystemExit(f"id {token} has more than one list of experts")
        if abs(weights.sum(axis=1) - 1).max() > 1e-5:
            raise SystemExit("weights of a token do not add up to 1")
        want = np.zeros_like(y)
        for expert in np.unique(experts):
            tokens, choices = np.nonzero(experts == expert)
            rows = layers.ffn(f"layers.0.ffn.experts.{expert}", x[tokens])
            want[tokens] += weights[tokens, choices, None] * rows
        errors = np.linalg.norm(y - want, axis=1) / np.linalg.norm(want, axis=1)
        worst = max(worst, float(errors.max()))
    print(f"relative error by row: at most {worst:.2e}, bound {BOUNDS[dtype]:.0e}")
    return 0 if worst < BOUNDS[dtype] else 1


if __name__ == "__main__":
    sys.exit(main())
