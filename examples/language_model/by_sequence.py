# SPDX-License-Identifier: Apache-2.0
"""The same model, computed so that bits do not depend on the number of ranks.

What all ranks hold alike (embedding, attention, norms) works on one sequence at a time, so that its
products have one shape on any number of ranks, and its gradients are added exactly, sequence by
sequence. Feed-forward layers work on all of a rank's sequences at once: they have the same bits at any
number of ranks by themselves. So autograd's graph is cut there, and backward goes from layer to layer.
"""

import torch


class Pass:
    """A forward over a rank's sequences, with what its backward needs."""

    def __init__(self, model, ids, targets):
        self.model = model
        self.layers = []  # of each: a list over sequences (begin, h, n), and the rows of all and y
        sequences = range(len(ids))
        x = None
        for block in model.blocks:
            parts = []
            for i in sequences:
                begin = ids[i : i + 1].clone() if x is None else x[i]
                h = block.attend(model.embedding(begin) if x is None else begin)
                parts.append((begin, h, block.norm2(h)))
            rows = _joined([n.detach() for _, _, n in parts], ids, model)
            rows.requires_grad_(torch.is_grad_enabled())
            y = block.feed_forward(rows)
            self.layers.append((parts, rows, y))
            x = [_leaf(h + y[i : i + 1]) for i, (_, h, _) in enumerate(parts)]
        self.last = x
        self.sums = [model.losses(x[i], targets[i : i + 1].clone())[0] for i in sequences]

    def losses(self):
        """The sum over tokens of each sequence: [sequences]."""
        return torch.stack(self.sums).detach() if self.sums else torch.empty(0)

    def backward(self, scale, gradients):
        """Of the losses times scale. gradients: a GradientSum, which all but layers' own goes to."""
        dx = []
        for x, loss in zip(self.last, self.sums):
            (loss * scale).backward()
            gradients.add()
            dx.append(x.grad)
        for parts, rows, y in reversed(self.layers):
            y.backward(_joined(dx, y, self.model))
            for i, (begin, h, n) in enumerate(parts):
                torch.autograd.backward([h, n], [dx[i], rows.grad[i : i + 1].clone()])
                gradients.add()
                dx[i] = begin.grad


def _leaf(x):
    return x.detach().requires_grad_(torch.is_grad_enabled())


def _joined(parts, like, model):
    """[sequences, length, hidden_size], also where this rank has no sequences."""
    if parts:
        return torch.cat(parts)
    return torch.empty(0, like.shape[1], model.embedding.embedding_dim)
