# SPDX-License-Identifier: Apache-2.0
"""An exact expert-parallel layer in PyTorch, as one writes it with torch.distributed: no capacity, no
dropped token, counts exchanged in each layer, a permute on either side of the exchange."""

import time

import torch
import torch.distributed as dist

from peers.torch_experts import Workspace


class EpLayer:
    """The layer on one rank, experts in consecutive blocks over the ranks.

    token_ids [tokens]; table [vocab, k]: the experts of each id; x [tokens, d]; weights [tokens, k]
    fp32, or None where each choice counts 1; experts: what Experts is; experts_of_rank [ranks].
    """

    def __init__(self, token_ids, table, x, weights, experts, experts_of_rank):
        self.token_ids, self.table, self.x, self.weights = token_ids, table, x, weights
        self.experts = experts
        self.experts_of_rank = experts_of_rank
        self.num_experts = sum(experts_of_rank)
        self.local = experts_of_rank[dist.get_rank()]
        self.top_k = table.shape[1]
        self.workspace = Workspace()
        # The expert of each (source rank, local expert), in which order counts come.
        self.expert_of_count = torch.arange(self.local).repeat(dist.get_world_size())
        self.phases = {}  # of the newest run: name -> seconds

    def rows(self, name, count):
        return self.workspace.rows(name, count, self.x.shape[1], self.x.dtype)

    def lap(self, name):
        now = time.perf_counter()
        self.phases[name] = self.phases.get(name, 0.0) + now - self.last
        self.last = now

    def exchange(self, out, rows, receives, sends):
        """Whole rows to and from each rank. gloo knows no bf16, but moves bytes alike."""
        if rows.dtype == torch.bfloat16:
            out, rows = out.view(torch.float16), rows.view(torch.float16)
        dist.all_to_all_single(out, rows, receives, sends)

    def run(self):
        """The output [tokens, d], valid until the next run."""
        self.phases = {}
        self.last = time.perf_counter()
        ranks = len(self.experts_of_rank)
        chosen = self.table.index_select(0, self.token_ids).flatten()
        order = torch.argsort(chosen, stable=True)  # rows by expert, and so by owner
        counts = torch.bincount(chosen, minlength=self.num_experts)
        self.lap("route")

        landing = torch.empty(ranks * self.local, dtype=counts.dtype)
        dist.all_to_all_single(landing, counts, [self.local] * ranks, self.experts_of_rank)
        sends = [part.sum().item() for part in counts.split(self.experts_of_rank)]
        receives = landing.view(ranks, self.local).sum(1).tolist()
        self.lap("counts")

        token_of_row = order if self.top_k == 1 else order.div(self.top_k, rounding_mode="floor")
        sent = self.rows("sent", order.numel())
        torch.index_select(self.x, 0, token_of_row, out=sent)
        self.lap("permute")
        landed = self.rows("landed", sum(receives))
        self.exchange(landed, sent, receives, sends)
        self.lap("dispatch")
        by_expert = torch.argsort(torch.repeat_interleave(self.expert_of_count, landing), stable=True)
        major = self.rows("major", sum(receives))
        torch.index_select(landed, 0, by_expert, out=major)
        self.lap("permute")

        done = self.experts(major, landing.view(ranks, self.local).sum(0).tolist(),
                            self.rows("done", sum(receives)))
        self.lap("experts")

        torch.index_select(done, 0, inverse(by_expert), out=landed)
        self.lap("permute")
        self.exchange(sent, landed, sends, receives)
        self.lap("combine")
        y = self.combine(sent, inverse(order))
        self.lap("permute")
        return y

    def combine(self, rows, row_of_choice):
        if self.weights is None and self.top_k == 1:
            y = self.rows("y", row_of_choice.numel())
            return torch.index_select(rows, 0, row_of_choice, out=y)
        row_of_choice = row_of_choice.view(-1, self.top_k)
        y = self.workspace.rows("sum", len(self.x), self.x.shape[1], torch.float32).zero_()
        for j in range(self.top_k):  # in order, in fp32
            choice = rows.index_select(0, row_of_choice[:, j])
            y.addcmul_(choice.float(), self.weights[:, j:j + 1])
        return y.to(self.x.dtype)


def inverse(permutation):
    result = torch.empty_like(permutation)
    result[permutation] = torch.arange(permutation.numel())
    return result
