# SPDX-License-Identifier: Apache-2.0
"""Makes routing tables from a model that train.py has trained, for runs with --table.

    python3 make_table.py clustered --save DIR --output TABLE.safetensors [train.py's options]
    python3 make_table.py distilled --save DIR --output TABLE.npy [train.py's options]

clustered: ids whose embeddings are near each other share an expert (Roller et al., arXiv 2106.04426,
section 3.1; `hashep table build --method clustered`). distilled: of a model with learned gates, each id
goes to the expert that its gate has chosen for it most often, in each layer by itself, over --tokens
tokens of training: a frozen router, as in StableMoE's second stage (arXiv 2204.08396). Ids that were not
seen go to the expert with the fewest tokens. On one rank.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import hashep
import numpy as np
import torch

import train
from data import BadInput
from options import parse
from ranks import Stop

ROOT = pathlib.Path(__file__).resolve().parents[2]


def trained(context, words):
    options = parse([*words, "--resume", "--progress", "off"], __doc__)
    text = train.read_text(options)
    trainer = train.Trainer(context, options, text)
    trainer.resume()
    if trainer.step == 0:
        raise BadInput(f"--save {options.save}: there is no checkpoint")
    return trainer


def clustered(trainer, output):
    options = trainer.options
    hashep_program = os.environ.get("HASHEP", str(ROOT / "build/cpu-release/bin/hashep"))
    with tempfile.TemporaryDirectory(dir=output.parent, suffix=".tmp") as work:
        embeddings = f"{work}/embeddings.npy"
        np.save(embeddings, trainer.model.embedding.weight.detach().numpy())
        command = [
            hashep_program, "table", "build", "--method", "clustered", "--embeddings", embeddings,
            "--vocab-size", trainer.text.vocab_size, "--num-experts", options.num_experts,
            "--top-k", options.top_k, "--seed", options.seed, "--output", f"{work}/{output.name}",
        ]  # fmt: skip
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode != 0:
            raise BadInput(f"hashep table build: {done.stderr.strip()}")
        os.replace(f"{work}/{output.name}", output)


@torch.no_grad()
def distilled(trainer, output, tokens):
    options, planner = trainer.options, trainer.feed_forward.planner
    layers, vocabulary, experts = planner.shape.num_layers, trainer.text.vocab_size, options.num_experts
    counts = np.zeros((layers, vocabulary, experts), np.int64)
    steps = -(-tokens // (options.sequences * options.seq_len))
    for step in range(min(steps, options.steps)):
        ids, _ = trainer.batch(step)
        planned = trainer.feed_forward.plan(ids)
        trainer.model.hidden(ids)
        for layer in range(layers):
            chosen = np.asarray(planner.stack.plan(planned.batch, layer).experts).reshape(-1, options.top_k)
            np.add.at(counts[layer], (ids.numpy().reshape(-1, 1), chosen), 1)
    tables = np.argsort(-counts, axis=2, kind="stable")[:, :, : options.top_k].astype(np.int32)
    for layer in range(layers):
        loads = counts[layer].sum(0)
        for unseen in np.flatnonzero(counts[layer].sum(1) == 0):
            tables[layer, unseen] = np.argsort(loads, kind="stable")[: options.top_k]
            loads[tables[layer, unseen]] += 1
    agreement = np.take_along_axis(counts, tables, 2).sum() / counts.sum()
    temporary = output.with_suffix(".npy.tmp")
    with open(temporary, "wb") as file:
        np.save(file, tables)
    os.replace(temporary, output)
    print(f"{output}: as the gates have chosen for {agreement:.1%} of {counts[0].sum()} tokens")


def main():
    parser = argparse.ArgumentParser(
        prog="make_table.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("method", choices=("clustered", "distilled"))
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="FILE")
    parser.add_argument("--tokens", type=int, default=1 << 20, metavar="N", help="distilled: (1048576)")
    mine, words = parser.parse_known_args()
    torch.set_num_threads(1)
    try:
        with hashep.Context() as context:
            trainer = trained(context, words)
            if mine.method == "clustered":
                clustered(trainer, mine.output)
            else:
                distilled(trainer, mine.output, mine.tokens)
    except (BadInput, Stop, hashep.InputError, OSError) as error:
        print(f"make_table.py: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
