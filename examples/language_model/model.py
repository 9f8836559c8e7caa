# SPDX-License-Identifier: Apache-2.0
"""A decoder-only transformer: pre-norm, rotary positions, tied embedding, feed-forward layers as given."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class RMSNorm(nn.Module):
    def __init__(self, size, epsilon=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon) * self.weight


class Rotary(nn.Module):
    """Turns pairs of a head's elements by angles that grow with the position (arXiv 2104.09864)."""

    def __init__(self, head_size, seq_len, base=10000.0):
        super().__init__()
        frequencies = base ** (-torch.arange(0, head_size, 2, dtype=torch.float64) / head_size)
        angles = torch.arange(seq_len, dtype=torch.float64)[:, None] * frequencies
        self.register_buffer("cos", angles.cos().float(), persistent=False)
        self.register_buffer("sin", angles.sin().float(), persistent=False)

    def forward(self, x):
        """x: [..., length, head_size]."""
        a, b = x.chunk(2, dim=-1)
        cos, sin = self.cos[: x.shape[-2]], self.sin[: x.shape[-2]]
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


def causal_attention(q, k, v):
    """[..., length, head_size] each; a position sees itself and those before."""
    if hasattr(F, "scaled_dot_product_attention"):  # PyTorch 2
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    length = q.shape[-2]
    later = torch.ones(length, length, dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(-1) @ v


class Attention(nn.Module):
    def __init__(self, hidden_size, num_heads, seq_len):
        super().__init__()
        self.num_heads = num_heads
        self.head_size = hidden_size // num_heads
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.output = nn.Linear(hidden_size, hidden_size, bias=False)
        self.rotary = Rotary(self.head_size, seq_len)

    def forward(self, x):
        sequences, length, hidden_size = x.shape
        heads = self.qkv(x).view(sequences, length, 3, self.num_heads, self.head_size)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # [sequences, heads, length, head_size] each
        mixed = causal_attention(self.rotary(q), self.rotary(k), v)
        return self.output(mixed.transpose(1, 2).reshape(sequences, length, hidden_size))


class Block(nn.Module):
    def __init__(self, hidden_size, num_heads, seq_len, feed_forward):
        super().__init__()
        self.norm1 = RMSNorm(hidden_size)
        self.attention = Attention(hidden_size, num_heads, seq_len)
        self.norm2 = RMSNorm(hidden_size)
        self.feed_forward = feed_forward

    def attend(self, x):
        return x + self.attention(self.norm1(x))

    def forward(self, x):
        x = self.attend(x)
        return x + self.feed_forward(self.norm2(x))


class Transformer(nn.Module):
    """feed_forwards: a module a layer, [..., hidden_size] to the same."""

    def __init__(self, vocab_size, hidden_size, num_heads, seq_len, feed_forwards, seed=0):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, hidden_size)
        self.blocks = nn.ModuleList(
            Block(hidden_size, num_heads, seq_len, each) for each in feed_forwards
        )
        self.norm = RMSNorm(hidden_size)
        self._initialise(seed)

    @torch.no_grad()
    def _initialise(self, seed, std=0.02):
        """Alike on all ranks: values follow from the seed."""
        random = torch.Generator().manual_seed(seed)
        self.embedding.weight.normal_(0, std, generator=random)
        for block in self.blocks:
            block.attention.qkv.weight.normal_(0, std, generator=random)
            small = std / math.sqrt(2 * len(self.blocks))
            block.attention.output.weight.normal_(0, small, generator=random)

    def hidden(self, ids):
        """ids: [sequences, length], length <= seq_len. Gives [sequences, length, hidden_size]."""
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, ids):
        """Logits [sequences, length, vocab_size]."""
        return F.linear(self.norm(self.hidden(ids)), self.embedding.weight)

    def losses(self, x, targets):
        """Cross entropy of what follows states x = hidden(ids): (its sum, that of each token).

        Gradients are the sum's alone.
        """
        rows = self.norm(x).flatten(0, -2)
        total, each = _CrossEntropy.apply(rows, self.embedding.weight, targets.flatten())
        return total, each.view(targets.shape)


class _CrossEntropy(torch.autograd.Function):
    """Of logits = rows weight^T, which are made, used for gradients and dropped part by part.

    All logits at once would be the largest array of the model, and would go through memory six times.
    """

    ROWS = 128

    @staticmethod
    def forward(ctx, rows, weight, targets):
        wanted = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        losses = rows.new_empty(len(rows))
        d_rows = torch.empty_like(rows) if wanted else None
        d_weight = torch.zeros_like(weight) if wanted else None
        for begin in range(0, len(rows), _CrossEntropy.ROWS):
            part = slice(begin, begin + _CrossEntropy.ROWS)
            of = targets[part, None]
            logits = rows[part] @ weight.t()
            log_sums = logits.logsumexp(1, keepdim=True)
            losses[part] = (log_sums - logits.gather(1, of)).squeeze(1)
            if wanted:
                d_logits = logits.sub_(log_sums).exp_()
                d_logits.scatter_add_(1, of, d_logits.new_full(of.shape, -1.0))
                torch.mm(d_logits, weight, out=d_rows[part])
                d_weight.addmm_(d_logits.t(), rows[part])
        if wanted:
            ctx.save_for_backward(d_rows, d_weight)
        ctx.mark_non_differentiable(losses)
        return losses.sum(), losses

    @staticmethod
    def backward(ctx, scale, _):
        d_rows, d_weight = ctx.saved_tensors
        return d_rows * scale, d_weight * scale, None


def parameter_groups(model, weight_decay, gate_rate=1.0):
    """For AdamW: matrices decay, norms' weights do not; gates have their own factor of the learning rate."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    gates = [p for name, p in trained if name.endswith(".gate")]
    others = [p for name, p in trained if not name.endswith(".gate")]
    return [
        {"params": [p for p in others if p.dim() >= 2], "weight_decay": weight_decay, "rate": 1.0},
        {"params": [p for p in others if p.dim() < 2], "weight_decay": 0.0, "rate": 1.0},
        *([{"params": gates, "weight_decay": weight_decay, "rate": gate_rate}] if gates else []),
    ]
