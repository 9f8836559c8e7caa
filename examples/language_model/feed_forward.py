# SPDX-License-Identifier: Apache-2.0
"""The feed-forward layers of all arms: dense, hash-routed, or routed by a learned gate."""

import hashep
import numpy as np
import torch
from hashep import sum_float64
from hashep.torch import MoE, Planner

from data import BadInput
from ranks import together

INIT_STD = 0.02


def dense_layers(options):
    """As many operations a token as the experts of one."""
    return dict(num_experts=0, num_shared_experts=1, ffn_size=options.ffn_size * options.top_k)


def arm_of(options, text):
    """What a Planner is told of the feed-forward layers."""
    if options.arm == "dense":
        return dense_layers(options)
    arm = dict(num_experts=options.num_experts, top_k=options.top_k, ffn_size=options.ffn_size)
    if options.arm == "learned":
        arm.update(gate="softmax_top_k", balance_loss=options.balance_loss, z_loss=options.z_loss)
        return arm
    arm.update(router=options.router, vocab_size=text.vocab_size)
    if options.router == "balanced":
        arm.update(counts=np.bincount(text.train, minlength=text.vocab_size))
    if options.table:
        arm.update(router=read_table(options, text))
    return arm


class FeedForward:
    """The layers' feed-forward parts: weights on all ranks, and plans of batches. Collective to make.

    layers: a module a layer. Those that are dense where others are the arm's are of a planner of
    their own, as a planner's layers have one shape.
    """

    def __init__(self, context, options, text):
        arm = together(context, lambda: arm_of(options, text))
        chosen = options.moe_layers
        self.planner = self._planner(context, options, len(chosen), arm, options.seed)
        if options.arm == "learned":
            made = {layer: _Learned(self.planner, i, options) for i, layer in enumerate(chosen)}
        else:
            made = {layer: MoE(self.planner, i) for i, layer in enumerate(chosen)}
        self.dense = None
        others = [layer for layer in range(options.num_layers) if layer not in made]
        if others:
            self.dense = self._planner(context, options, len(others), dense_layers(options), options.seed + 1)
            made |= {layer: MoE(self.dense, i) for i, layer in enumerate(others)}
        self.layers = [made[layer] for layer in range(options.num_layers)]

    @staticmethod
    def _planner(context, options, num_layers, arm, seed):
        return together(context, lambda: Planner(
            context, num_layers=num_layers, hidden_size=options.hidden_size, seed=seed, init_std=INIT_STD,
            gradient_block=options.seq_len, expected_tokens=options.sequences * options.seq_len, **arm,
        ))  # fmt: skip

    def ahead(self, batches):
        """Batches, each planned before its turn, with its plan."""
        for batch, planned in self.planner.ahead(batches, ids=lambda batch: batch[0]):
            self._plan_dense(batch[0])
            yield batch, planned

    def plan(self, ids):
        self._plan_dense(ids)
        return self.planner.plan(ids)

    def _plan_dense(self, ids):
        if self.dense is not None:
            self.dense.plan(ids)

    def expert_counts(self, planned):
        """[MoE layers][num_experts] tokens of all ranks, after the batch's forward. Collective."""
        plans = self._plans(planned)
        counts = np.zeros((len(plans), self.planner.shape.num_experts))
        for row, plan in zip(counts, plans):
            row += np.bincount(plan.experts[plan.experts >= 0], minlength=len(row))
        return sum_float64(self.planner.context, counts.ravel()).reshape(counts.shape).astype(int).tolist()

    def bytes_off_rank(self, planned):
        """That rows of a training step take to other ranks, over all ranks and layers. Collective."""
        rank, row = self.planner.context.rank, 4 * self.planner.shape.hidden_size
        rows = sum(plan.send_counts.sum() - plan.send_counts[rank] for plan in self._plans(planned))
        ways = 4  # dispatch and combine, forward and backward
        return int(sum_float64(self.planner.context, [float(rows * row * ways)])[0])

    def _plans(self, planned):
        layers = range(self.planner.shape.num_layers if self.planner.shape.num_experts else 0)
        return [self.planner.stack.plan(planned.batch, layer) for layer in layers]


class _Learned(MoE):
    """A layer with a gate: its expert's output times its probability p, and what options make of that."""

    def __init__(self, planner, layer, options):
        super().__init__(planner, layer)
        self.scale, self.is_whole = options.output_scale, options.gate_weight == "one"
        with torch.no_grad():
            self.gate.mul_(options.gate_std / INIT_STD)

    def forward(self, x):
        y = super().forward(x)
        if self.is_whole:
            # The output is the expert's, while p's gradient is of y = (p / p's value) E(x).
            with torch.no_grad():
                p = torch.softmax(x @ self.gate.t(), -1).amax(-1, keepdim=True)
            y = y / p
        return y if self.scale == 1 else y * self.scale


def read_table(options, text):
    """A RoutingTable, or an array [MoE layers, vocab_size, top_k]."""
    if options.table.endswith(".npy"):
        try:
            array = np.load(options.table, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError):
            array = np.empty(0)  # load_table says what is wrong
        if array.ndim == 3:
            wanted = (len(options.moe_layers), text.vocab_size, options.top_k)
            if array.shape != wanted:
                raise BadInput(
                    f"{options.table}: tables {list(array.shape)}, where layers, vocabulary and --top-k are "
                    f"{list(wanted)}"
                )
            return array
    table = hashep.load_table(options.table, num_experts=options.num_experts)
    if (table.vocab_size, table.top_k) != (text.vocab_size, options.top_k):
        raise BadInput(
            f"{options.table}: a table [{table.vocab_size}, {table.top_k}], where the vocabulary and "
            f"--top-k are [{text.vocab_size}, {options.top_k}]"
        )
    return table
