# SPDX-License-Identifier: Apache-2.0
"""python3 -m hashep: what this package runs on, and a self-test on the ranks at hand."""

import importlib.util
import sys

import numpy as np

import hashep

_SHAPE = hashep.StackShape(num_layers=2, hidden_size=32, ffn_size=64, num_experts=8, top_k=2)
_VOCABULARY = 100
_TOKENS = 256
_BLOCK = 8


def _train(context):
    """A step of training on this context's part of one batch: rows, their gradient, the norm."""
    random = np.random.default_rng(1)
    ids = random.integers(0, _VOCABULARY, _TOKENS)
    x = random.standard_normal((_TOKENS, _SHAPE.hidden_size), dtype=np.float32)
    blocks = _TOKENS // _BLOCK
    rank, size = context.rank, context.size
    own = slice(rank * blocks // size * _BLOCK, (rank + 1) * blocks // size * _BLOCK)
    stack = hashep.Stack(
        context,
        _SHAPE,
        hashep.HashRouter(_VOCABULARY, seed=1),
        hashep.synthetic_weights(_SHAPE, seed=1),
        training=hashep.TrainingOptions(gradient_block=_BLOCK),
    )
    batch, tape = stack.submit(ids[own], seq_len=_BLOCK), hashep.Tape()
    y = stack.forward(batch, x[own], tape=tape)
    dx = stack.backward(batch, tape, y)
    norm = hashep.AdamW(stack).step(0.01)
    stack.close()
    return own, y, dx, norm


def _print_facts(context):
    found = importlib.util.find_spec("torch")
    torch = __import__("torch").__version__ if found else "not installed (hashep.torch needs it)"
    nodes = context.nodes.num_nodes
    print(f"hashep   {hashep.__version__}, Python {sys.version.split()[0]}, numpy {np.__version__}")
    print(f"PyTorch  {torch}")
    print(f"MPI      {hashep.mpi_library()}")
    print(
        f"ranks    {context.size} on {nodes} {'node' if nodes == 1 else 'nodes'}, transport "
        f"{context.transport}, {context.threads} threads on rank 0"
    )
    print("device   CPU")


def main():
    context = hashep.Context(deadline=60)
    if context.rank == 0:
        _print_facts(context)
    own, y, dx, norm = _train(context)
    _, expected, expected_dx, expected_norm = _train(hashep.Context("self", threads=1))
    same = (
        np.array_equal(y, expected[own])
        and np.array_equal(dx, expected_dx[own])
        and norm == expected_norm
        and np.isfinite(y).all()
    )
    wrong = hashep.ReproducibleSum(context, 1, 1)
    wrong.add(np.full((1, 1), not same, np.float32))
    count = int(wrong.finish()[0, 0])
    if context.rank == 0:
        if count:
            print(f"test     FAILED on {count} of {context.size} ranks", file=sys.stderr)
        else:
            print(f"test     passed: a step of training on {context.size} ranks has the bits of one")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
