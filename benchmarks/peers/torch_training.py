# SPDX-License-Identifier: Apache-2.0
"""The same exact expert-parallel layer in PyTorch with autograd: a Parameter for each matrix of each
expert, no stacked select; permutes and exchanges have the backward that one writes by hand, as those of
index_select are scatters."""

import time

import torch
import torch.distributed as dist
import torch.nn.functional as F

from peers.torch_ep_layer import inverse


class Permute(torch.autograd.Function):
    """Rows in another order, each once."""

    @staticmethod
    def forward(ctx, rows, order):
        ctx.save_for_backward(order)
        return rows.index_select(0, order)

    @staticmethod
    def backward(ctx, gradient):
        (order,) = ctx.saved_tensors
        return gradient.index_select(0, inverse(order)), None


class Exchange(torch.autograd.Function):
    """Whole rows to and from each rank; gradients go the other way."""

    @staticmethod
    def forward(ctx, rows, receives, sends):
        ctx.receives, ctx.sends = receives, sends
        return exchanged(rows, receives, sends)

    @staticmethod
    def backward(ctx, gradient):
        return exchanged(gradient.contiguous(), ctx.sends, ctx.receives), None, None


def exchanged(rows, receives, sends):
    out = torch.empty(sum(receives), rows.shape[1], dtype=rows.dtype)
    if rows.dtype == torch.bfloat16:  # gloo knows no bf16, but moves bytes alike
        dist.all_to_all_single(out.view(torch.float16), rows.view(torch.float16), receives, sends)
    else:
        dist.all_to_all_single(out, rows, receives, sends)
    return out


class Expert(torch.nn.Module):
    def __init__(self, w1, w2, w3, activation):
        super().__init__()
        self.w1, self.w2 = torch.nn.Parameter(w1), torch.nn.Parameter(w2)
        self.w3 = None if w3 is None else torch.nn.Parameter(w3)
        self.activation = activation

    def forward(self, rows):
        hidden = F.linear(rows, self.w1)
        if self.activation == "relu":
            hidden = F.relu(hidden, inplace=True)
        elif self.activation == "gelu":
            hidden = F.gelu(hidden)
        else:
            hidden = F.silu(hidden) * F.linear(rows, self.w3)
        return F.linear(hidden, self.w2)


class EpTrainingLayer(torch.nn.Module):
    """Forward and backward on one rank; one expert a token. Arguments as of EpLayer; weights: (w1, w2, w3
    or None) of each expert here; dy: the gradient of the output."""

    def __init__(self, token_ids, table, x, weights, activation, experts_of_rank, dy):
        super().__init__()
        if table.shape[1] != 1:
            raise ValueError("the peer that trains takes one expert a token")
        self.token_ids, self.table, self.dy = token_ids, table, dy
        self.x = x.requires_grad_()
        self.experts = torch.nn.ModuleList(Expert(*matrices, activation) for matrices in weights)
        self.experts_of_rank = experts_of_rank
        self.local = experts_of_rank[dist.get_rank()]
        self.expert_of_count = torch.arange(self.local).repeat(dist.get_world_size())
        self.phases = {}  # of the newest run: name -> seconds

    def forward(self, x):
        ranks = len(self.experts_of_rank)
        chosen = self.table.index_select(0, self.token_ids).flatten()
        order = torch.argsort(chosen, stable=True)  # rows by expert, and so by owner
        counts = torch.bincount(chosen, minlength=sum(self.experts_of_rank))
        landing = torch.empty(ranks * self.local, dtype=counts.dtype)
        dist.all_to_all_single(landing, counts, [self.local] * ranks, self.experts_of_rank)
        sends = [part.sum().item() for part in counts.split(self.experts_of_rank)]
        receives = landing.view(ranks, self.local).sum(1).tolist()
        by_expert = torch.argsort(torch.repeat_interleave(self.expert_of_count, landing), stable=True)

        landed = Exchange.apply(Permute.apply(x, order), receives, sends)
        major = Permute.apply(landed, by_expert)
        rows_of_expert = landing.view(ranks, self.local).sum(0).tolist()
        done = torch.cat([expert(rows) for expert, rows in zip(self.experts, major.split(rows_of_expert))])
        returned = Exchange.apply(Permute.apply(done, inverse(by_expert)), sends, receives)
        return Permute.apply(returned, inverse(order))

    def run(self):
        """The output; gradients are left in x and the experts."""
        self.zero_grad(set_to_none=True)
        self.x.grad = None
        begin = time.perf_counter()
        y = self(self.x)
        half = time.perf_counter()
        y.backward(self.dy)
        self.phases = {"forward": half - begin, "backward": time.perf_counter() - half}
        return y.detach()
